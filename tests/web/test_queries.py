"""Flags and numbers in the query of a URL."""

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.core.errors import InvalidRequest
from proxy.web.queries import digits, flag, number


@pytest.mark.parametrize(
    ("query", "on"),
    [("", False), ("?x=", False), ("?x=0", False), ("?x=False", False), ("?x=1", True), ("?x=true", True)],
)
def test_a_flag_is_off_unless_it_is_on(query: str, on: bool) -> None:
    assert flag(make_mocked_request("GET", f"/{query}"), "x") is on


def test_a_flag_that_is_neither_is_an_error_that_says_what_is_allowed() -> None:
    with pytest.raises(InvalidRequest, match=r"x is 'perhaps': true \(or 1\) and false \(or 0\) are allowed") as caught:
        flag(make_mocked_request("GET", "/?x=perhaps"), "x")
    assert caught.value.param == "x"


def test_a_number_has_a_default_and_a_limit() -> None:
    assert number(make_mocked_request("GET", "/"), "n", 7, 10) == 7
    assert number(make_mocked_request("GET", "/?n=10"), "n", 7, 10) == 10


@pytest.mark.parametrize("given", ["11", "-1", "x", "1.5", "", "\u0663", "9" * 5000])
def test_what_is_no_number_or_too_large_is_an_error(given: str) -> None:
    with pytest.raises(InvalidRequest, match="a number up to 10 is allowed"):
        digits("n", given, 10)
