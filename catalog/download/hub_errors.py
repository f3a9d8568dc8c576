"""What an error on the way to the hub means: what to tell the user, and whether trying again may help.

Pure. Every message names the repository and the remedy.
"""

import json
from dataclasses import dataclass

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # public, in the lazy way

from catalog.download.fetch import FetchError

EXPECTED = (
    HfHubHTTPError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OfflineModeIsEnabled,
    HFValidationError,
    json.JSONDecodeError,
    UnicodeDecodeError,
)
"""What the client raises for things outside of this program; the last two for an answer that is not JSON."""
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class HubError(FetchError):
    """A repository could not be read; the message names it and says what to do."""


class CutOff(Exception):
    """An answer ended before it was complete."""


class NoFile(Exception):
    """A page of HTML came where a file was asked for: of whoever stands between, or of what is no hub."""


@dataclass(frozen=True, slots=True)
class Place:
    """What was asked for, for messages. `has_token`: whether a token was sent along."""

    endpoint: str
    repo: str
    revision: str
    path: str | None = None
    has_token: bool = False

    def __str__(self) -> str:
        return f"{self.repo}/{self.path}" if self.path else self.repo


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, what to do about it, and whether it may pass; `retry_after_s` where the hub said when."""

    what: str
    remedy: str
    passes: bool = False
    retry_after_s: float | None = None


def trouble_of(error: Exception, place: Place) -> Trouble:
    """What `error` means, at `place`."""
    if isinstance(error, HfHubHTTPError):
        return _of_answer(error, place)
    if isinstance(error, OfflineModeIsEnabled):
        return Trouble(f"{place}: HF_HUB_OFFLINE is set", f"unset it, or {_BRING}")
    if isinstance(error, httpx2.TimeoutException):
        return Trouble(f"{place}: {place.endpoint} answers too slowly ({_words(error)})", _NETWORK, passes=True)
    if isinstance(error, httpx2.ProxyError | httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        remedy = "check hub_endpoint (HF_ENDPOINT) and the variables that name a proxy (HTTPS_PROXY)"
        return Trouble(f"{place}: {place.endpoint} cannot be asked: {_words(error)}", remedy)
    if isinstance(error, httpx2.ConnectError):
        return Trouble(f"{place}: cannot reach {place.endpoint}: {_words(error)}", _NETWORK, passes=True)
    if isinstance(error, httpx2.TransportError | CutOff):
        return Trouble(f"{place}: {place.endpoint} cut the connection ({_words(error)})", _NETWORK, passes=True)
    if isinstance(error, NoFile):
        what = f"{place}: {place.endpoint} sent a page of HTML in its place"
        return Trouble(what, f"check hub_endpoint, sign in to the network, or {_BRING}")
    if isinstance(error, HFValidationError):
        return Trouble(f"{place}: {_words(error)}", "check 'source' in the model's file")
    if isinstance(error, json.JSONDecodeError | httpx2.DecodingError | UnicodeDecodeError):
        what = f"{place}: what answers at {place.endpoint} is no hub (its answer cannot be read)"
        return Trouble(what, "check hub_endpoint, or sign in to the network")
    return Trouble(f"{place}: {place.endpoint}: {type(error).__name__}: {_words(error)}", _NETWORK)


_BRING = "bring a copy and set hub_folder to where it lies"
_NETWORK = f"check the network, name a mirror in hub_endpoint, or {_BRING}"
_OPEN = "set HF_TOKEN to a token of that account, or run `.venv/bin/hf auth login`"


def _of_answer(error: HfHubHTTPError, place: Place) -> Trouble:
    """What an answer of the hub with an error status means. A gated repository is also one that is not found."""
    status = error.response.status_code
    at = f"{place.repo} at {place.endpoint}"
    if isinstance(error, GatedRepoError):
        return Trouble(f"{at} is gated", _how_to_open(place))
    if isinstance(error, DisabledRepoError):
        return Trouble(f"{at} was disabled by the hub", "name another repository in 'source' in the model's file")
    if isinstance(error, RevisionNotFoundError):
        return Trouble(f"{at} has no revision '{place.revision}'", "check source.revision in the model's file")
    if isinstance(error, RemoteEntryNotFoundError):
        what = f"{at} has no {place.path or 'such file'} at revision '{place.revision}'"
        return Trouble(what, "check source.path and source.files in the model's file")
    if status == httpx2.codes.UNAUTHORIZED and place.has_token:
        remedy = "renew it (HF_TOKEN, or `.venv/bin/hf auth login`), or unset it: public repositories need none"
        return Trouble(f"{place}: {place.endpoint} refused the token (401)", remedy)
    if isinstance(error, RepositoryNotFoundError) or status in {401, 404}:
        remedy = "check source.repo in the model's file; for a private one " + _OPEN
        return Trouble(f"there is no repository {at}, or it is private ({status})", remedy)
    if status == httpx2.codes.FORBIDDEN:
        is_gated = "gated" in (error.server_message or "").lower()
        remedy = _how_to_open(place) if is_gated else _how_to_be_allowed(place)
        return Trouble(f"{place}: {place.endpoint} forbids it (403{_server_says(error)})", remedy)
    if status in _PASSING_STATUS:
        retry_after_s = _retry_after_s(error.response)
        what = "asks for fewer requests" if status == httpx2.codes.TOO_MANY_REQUESTS else "has trouble of its own"
        return Trouble(f"{place}: {place.endpoint} {what} ({status})", "try again later", True, retry_after_s)
    return Trouble(f"{place}: {place.endpoint} answers {status}{_server_says(error)}", "try again later")


def _retry_after_s(response: httpx2.Response) -> float | None:
    """In how long the hub wants to be asked again: when its limit on requests is reset, or as Retry-After says."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == httpx2.codes.TOO_MANY_REQUESTS and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    after = response.headers.get("Retry-After", "").strip()
    return float(after) if after.isdigit() else None


def _how_to_open(place: Place) -> str:
    """What to do about a gated repository."""
    page = f"accept its licence on {place.endpoint}/{place.repo}"
    if place.has_token:
        return (
            f"{page} with the account of the token that was sent, which has not been let in (approval may take time, "
            "and a fine-grained token must allow gated repositories)"
        )
    return f"{page}, then {_OPEN}"


def _how_to_be_allowed(place: Place) -> str:
    """What to do where it is forbidden for a reason that the hub does not tell."""
    may = "the token that was sent may not read it: allow it there" if place.has_token else f"if it is private, {_OPEN}"
    return f"{may}; if it is a mirror or a firewall that forbids it, name another hub_endpoint, or {_BRING}"


def _server_says(error: HfHubHTTPError) -> str:
    return f": {' '.join(error.server_message.split())}" if error.server_message else ""


def _words(error: BaseException) -> str:
    """An error's own words in one line, or its name where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
