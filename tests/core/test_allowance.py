from math import ceil

import pytest
from hypothesis import given, strategies as st

from proxy.core.allowance import DAY_S, Allowance
from proxy.core.key_errors import QuotaUsedUp, RateLimited
from proxy.core.keys import Key, Secret

NOON = 10 * DAY_S + DAY_S / 2


def allowance(**limits: int) -> Allowance:
    return Allowance(key(**limits), now=0.0)


def key(**limits: int) -> Key:
    return Key(name="desk", made_at=0.0, secrets=(Secret("0" * 12, "x", 0.0),), **limits)  # type: ignore[arg-type]


def refused(of: Allowance, now: float, wall: float = NOON) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        of.begin(now, wall)
    return caught.value


def test_so_many_requests_a_minute_are_let_in_and_then_one_for_each_share_of_the_minute() -> None:
    of = allowance(requests_per_minute=6)
    for _ in range(6):
        of.begin(0.0, NOON)
    error = refused(of, 0.0)
    assert (error.code, error.retry_after_s) == ("rate_limit_exceeded", 10)
    of.begin(10.0, NOON)
    refused(of, 10.0)
    for _ in range(6):
        of.begin(1000.0, NOON)
    refused(of, 1000.0)


def test_who_is_refused_has_not_used_anything() -> None:
    of = allowance(requests_per_minute=1, concurrency=5)
    of.begin(0.0, NOON)
    for _ in range(9):
        refused(of, 1.0)
    of.begin(60.0, NOON)
    assert of.in_flight == 2


def test_so_many_are_under_way_at_a_time() -> None:
    of = allowance(concurrency=2)
    of.begin(0.0, NOON)
    of.begin(0.0, NOON)
    assert refused(of, 0.0).retry_after_s == 1
    of.end(0, 1.0, NOON)
    of.begin(1.0, NOON)


def test_tokens_may_be_overdrawn_by_one_request_and_are_made_up_for() -> None:
    of = allowance(tokens_per_minute=60)
    of.begin(0.0, NOON)
    of.end(90, 0.0, NOON)
    assert refused(of, 0.0).retry_after_s == 31
    of.begin(31.0, NOON)


def test_the_quota_of_a_day_ends_with_the_day_and_clients_are_told_not_to_try_again() -> None:
    of = allowance(tokens_per_day=100)
    of.begin(0.0, NOON)
    of.end(100, 1.0, NOON)
    error = refused(of, 2.0, NOON + 2)
    assert isinstance(error, QuotaUsedUp)
    assert (error.retry_after_s, error.headers["x-should-retry"]) == (DAY_S / 2 - 2, "false")
    of.begin(3.0, NOON + DAY_S / 2)
    assert of.used.tokens == 0


def test_clients_are_told_what_is_left_and_when_all_of_it_is_back() -> None:
    of = allowance(requests_per_minute=60, tokens_per_minute=600)
    of.begin(0.0, NOON)
    of.end(300, 0.0, NOON)
    assert of.told(0.0) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "300",
        "x-ratelimit-reset-tokens": "30.000s",
    }
    assert allowance().told(0.0) == {}


def test_limits_that_change_keep_what_has_been_used() -> None:
    of = allowance(requests_per_minute=10, tokens_per_day=10)
    for _ in range(5):
        of.begin(0.0, NOON)
    of.end(7, 0.0, NOON)
    of.use(key(requests_per_minute=100, tokens_per_day=7), 0.0)
    assert of.told(0.0)["x-ratelimit-remaining-requests"] == "50"
    assert isinstance(refused(of, 0.0), QuotaUsedUp)
    of.use(key(), 0.0)
    of.begin(0.0, NOON)


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 20))
def test_in_no_minute_are_more_let_in_than_a_full_bucket_and_a_minutes_filling(gaps: list[float], limit: int) -> None:
    of, now, let_in = allowance(requests_per_minute=limit), 0.0, []
    for gap in gaps:
        now += gap
        try:
            of.begin(now, NOON)
        except RateLimited as error:
            assert error.retry_after_s == ceil(error.retry_after_s or 0) >= 1  # noqa: PT017
            continue
        let_in.append(now)
    for began_at in let_in:
        assert sum(began_at <= one <= began_at + 60 for one in let_in) <= 2 * limit
