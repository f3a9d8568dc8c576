"""What a client says of its request: its deadline, its keep-alive."""

from math import inf

import pytest

from proxy.core.errors import InvalidRequest
from proxy.core.headers import Incoming
from proxy.core.wishes import NO_WISHES, Wishes, deadline_s, keep_alive_s, wishes_of


def incoming(headers: dict[str, str]) -> Incoming:
    return Incoming.of_pairs([(name.encode(), value.encode()) for name, value in headers.items()])


def test_a_request_that_says_nothing_has_no_wishes_and_one_that_does_has_its_own() -> None:
    assert wishes_of(incoming({}), 1.0, None) is NO_WISHES
    assert wishes_of(incoming({"X-Request-Deadline-S": "2"}), 3.0, "1m") == Wishes(3.0, 2.0, 60.0)
    assert wishes_of(incoming({"X-Stainless-Timeout": "5"}), 1.0, None) == Wishes(1.0, 5.0, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"X-Request-Deadline-S": "2.5"}, 2.5),
        ({"X-Request-Deadline-S": "9", "X-Stainless-Read-Timeout": "600"}, 9.0),
        ({"X-Stainless-Read-Timeout": "600.0"}, 600.0),
        ({"X-Stainless-Timeout": "30"}, 30.0),
        ({"X-Stainless-Read-Timeout": "NOT_GIVEN"}, None),
        ({"X-Stainless-Read-Timeout": "0"}, None),
        ({"X-Stainless-Read-Timeout": "nan", "X-Stainless-Timeout": "5"}, 5.0),
    ],
)
def test_the_deadline_is_what_the_client_says_to_us_else_its_own_time_out(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert deadline_s(incoming(headers)) == seconds


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "nan", "inf", "1e99"])
def test_a_deadline_that_is_none_is_refused_and_the_allowed_is_said(given: str) -> None:
    with pytest.raises(InvalidRequest, match="it must be a number of seconds above 0"):
        deadline_s(incoming({"X-Request-Deadline-S": given}))


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        (1.5, 1.5),
        (-1, inf),
        ("30", 30.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("2.5s", 2.5),
        ("-1", inf),
        ("-1m", inf),
    ],
)
def test_keep_alive_is_taken_as_ollama_takes_it(given: object, seconds: float | None) -> None:
    assert keep_alive_s(given) == seconds


@pytest.mark.parametrize("given", ["", "soon", "10 m", "10x", "m", True, [], {}, float("nan"), "inf"])
def test_what_is_no_keep_alive_is_refused_and_the_allowed_is_said(given: object) -> None:
    with pytest.raises(InvalidRequest, match="keep_alive must be a number of seconds, or a duration") as caught:
        keep_alive_s(given)
    assert caught.value.param == "keep_alive"
