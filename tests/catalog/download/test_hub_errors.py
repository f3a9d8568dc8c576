"""Errors that the fake hub cannot make; those that it can are in test_hub.py."""

import json

import httpx2
import pytest
from huggingface_hub.errors import DisabledRepoError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from catalog.download.hub_errors import CutOff, NoFile, Place, Trouble, trouble_of

HERE = Place("https://hub", "o/m", "main", "model.safetensors")


def answer(status: int, said: str = "said\nthe server", **headers: str) -> HfHubHTTPError:
    request = httpx2.Request("GET", "https://hub/o/m")
    response = httpx2.Response(status, headers={name.replace("_", "-"): text for name, text in headers.items()})
    response.request = request
    return HfHubHTTPError(f"{status}", response=response, server_message=said)


def trouble(error: Exception, **place: object) -> Trouble:
    return trouble_of(error, Place(**{"endpoint": "https://hub", "repo": "o/m", "revision": "main", **place}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE is set", "unset it"),
        (httpx2.ProxyError("no proxy"), "https://hub cannot be asked: no proxy", "HTTPS_PROXY"),
        (httpx2.UnsupportedProtocol("no http"), "cannot be asked: no http", "check hub_endpoint"),
        (HFValidationError("Repo id must\nbe short"), "Repo id must be short", "check 'source'"),
        (json.JSONDecodeError("x", "y", 0), "is no hub", "check hub_endpoint"),
        (answer(404), "there is no repository o/m at https://hub, or it is private (404)", "check source.repo"),
        (answer(403), "https://hub forbids it (403: said the server)", "if it is private, set HF_TOKEN"),
        (NoFile(), "https://hub sent a page of HTML in its place", "sign in to the network"),
        (answer(418), "https://hub answers 418: said the server", "try again later"),
        (httpx2.HTTPError("strange"), "https://hub: HTTPError: strange", "check the network"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_does_not_pass_is_explained_and_not_tried_again(error: Exception, what: str, remedy: str) -> None:
    found = trouble_of(error, HERE)
    assert what in found.what
    assert "o/m" in found.what
    assert remedy in found.remedy
    assert not found.passes


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (httpx2.ConnectError("[Errno -2] Name or service not known"), "cannot reach https://hub: [Errno -2] Name or"),
        (httpx2.ReadTimeout(""), "https://hub answers too slowly (ReadTimeout)"),
        (httpx2.ReadError("reset"), "https://hub cut the connection (reset)"),
        (CutOff("after 1 of 2 bytes"), "https://hub cut the connection (after 1 of 2 bytes)"),
        (answer(503), "https://hub has trouble of its own (503)"),
        (answer(429), "https://hub asks for fewer requests (429)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_may_pass_is_tried_again(error: Exception, what: str) -> None:
    found = trouble_of(error, HERE)
    assert (found.what.startswith(f"o/m/model.safetensors: {what}"), found.passes) == (True, True)


def test_the_hub_says_in_seconds_when_to_come_back_and_a_date_counts_as_nothing() -> None:
    assert trouble_of(answer(429, Retry_After="12"), HERE).retry_after_s == 12.0
    assert trouble_of(answer(503, Retry_After="5"), HERE).retry_after_s == 5.0
    assert trouble_of(answer(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), HERE).retry_after_s is None


def test_the_hubs_own_limit_on_requests_says_when_it_is_reset() -> None:
    spent = answer(429, RateLimit='"api";r=0;t=55', RateLimit_Policy='"fixed window";"api";q=500;w=300')
    assert trouble_of(spent, HERE).retry_after_s == 55.0
    assert trouble_of(answer(429, RateLimit='"api";r=9;t=55', Retry_After="3"), HERE).retry_after_s == 3.0


def test_a_token_that_the_hub_refuses_is_not_blamed_on_the_repository() -> None:
    assert "refused the token (401)" in trouble(answer(401), has_token=True).what
    assert "public repositories need none" in trouble(answer(401), has_token=True).remedy
    assert "no repository" in trouble(answer(401)).what


def test_a_repository_that_was_taken_down_is_named() -> None:
    gone = DisabledRepoError("x", response=answer(403).response)
    assert trouble(gone).what == "o/m at https://hub was disabled by the hub"


def test_what_is_forbidden_needs_its_licence_accepted_only_where_the_hub_says_that_it_is_gated() -> None:
    assert "licence" not in trouble(answer(403)).remedy
    assert "the token that was sent may not read it" in trouble(answer(403), has_token=True).remedy
    gated = answer(403, "Please enable access to public gated repositories in your fine-grained token settings")
    assert "accept its licence on https://hub/o/m" in trouble(gated).remedy
    assert "a fine-grained token must allow gated repositories" in trouble(gated, has_token=True).remedy
