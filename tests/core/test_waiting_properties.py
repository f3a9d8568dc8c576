"""Whatever comes and in whatever order: nobody waits for ever, and where there is no overload, only for so long."""

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from proxy.core.limits import Limits
from proxy.core.roster import EngineNeeds
from proxy.core.terms import Terms
from tests.core.outside import SERVICE_S, SWAP_S, Outside
from tests.core.world import CARD, World, amounts, needs

ONE = {CARD: 40.0}
TWO = {"x": 40.0, "y": 30.0}
MAX_WAIT_S = 50
LONG_S = 100_000
LIMITS = Limits(max_wait_s=MAX_WAIT_S, queue_timeout_s=1e9)


def world(devices: dict[str, float], models: dict[str, EngineNeeds], *, overlap: bool) -> World:
    made = World()
    made.set_up(devices, models, replace(LIMITS, overlap=overlap), host=40)
    return made


def four(devices: dict[str, float], **terms: float) -> dict[str, EngineNeeds]:
    """No two of them fit on one device; two of them sleep."""
    kinds = {"a": (), "b": (), "c": (1, 2), "d": (2,)}
    return {
        model: replace(needs(amounts(25, 1, 25), devices, levels=levels), terms=Terms(**terms))  # type: ignore[arg-type]
        for model, levels in kinds.items()
    }


streams = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 100), st.sampled_from([1, 2, 7, 30]), st.integers(1, 40)),
    min_size=1,
    max_size=5,
).map(
    lambda drawn: [(start + period * number, model) for model, start, period, count in drawn for number in range(count)]
)
"""Requests of a model from some second on, one each so many seconds: so many."""


@settings(max_examples=60, deadline=None)
@given(streams, st.sampled_from([ONE, TWO]), st.booleans())
def test_every_request_is_served_within_the_bound_and_one_swap_for_each_model(
    requests: list[tuple[int, str]], devices: dict[str, float], overlap: bool
) -> None:
    """A swap begins within `MAX_WAIT_S`, and before it those go that are due too: each of the others at most once."""
    outside = Outside(world(devices, four(devices), overlap=overlap))
    outside.play(requests, LONG_S)
    assert not outside.rejected
    assert max(outside.waits.values()) <= MAX_WAIT_S + 4 * SWAP_S


def test_two_that_are_asked_for_without_end_take_turns_on_one_device() -> None:
    """Who has waited is served at once, so that it is best not to dwell: nobody waits for more than three swaps."""
    requests = [(second, model) for second in range(600) for model in "ab"]
    outside = Outside(world(ONE, four(ONE), overlap=False))
    outside.play(requests, LONG_S)
    assert max(outside.waits.values()) <= 3 * SWAP_S
    assert outside.begun == ["a", "b"] * (len(outside.begun) // 2) + ["a"] * (len(outside.begun) % 2)
    assert len(outside.begun) > 600 / (3 * SWAP_S)


@settings(max_examples=40, deadline=None)
@given(streams, st.sampled_from([ONE, TWO]), st.integers(1, 3), st.sampled_from([0.0, 20.0]), st.booleans())
def test_even_where_more_comes_than_can_be_served_all_are_served_in_the_end(
    requests: list[tuple[int, str]], devices: dict[str, float], concurrency: int, residence_s: float, overlap: bool
) -> None:
    """At the worst each request is a trip of its own."""
    models = four(devices, concurrency=concurrency, min_residence_s=residence_s)
    outside = Outside(world(devices, models, overlap=overlap))
    outside.play(requests, LONG_S)
    assert not outside.rejected
    assert len(outside.waits) == len(requests)
    assert max(outside.waits.values()) <= MAX_WAIT_S + len(requests) * (SWAP_S + residence_s)


@pytest.mark.parametrize("overlap", [False, True])
def test_one_request_between_two_streams_is_served_within_the_bound(overlap: bool) -> None:
    """It is the cheapest of all to leave waiting: its model is large, seldom wanted, and never sleeps."""
    streams = [(second, model) for second in range(0, 400, 2) for model in "ab"]
    models = {**four(ONE), "rare": needs(amounts(40), ONE)}
    outside = Outside(world(ONE, models, overlap=overlap))
    requests = sorted([*streams, (131, "rare")])
    outside.play(requests, LONG_S)
    assert outside.waits[requests.index((131, "rare"))] <= MAX_WAIT_S + 2 * SWAP_S


def test_the_outside_serves_as_long_as_it_says() -> None:
    outside = Outside(world(ONE, {"a": needs(amounts(25), ONE)}, overlap=True))
    outside.play([(0, "a"), (3, "a"), (20, "a")], LONG_S)
    assert outside.waits == {0: 8.0, 1: 5.0, 2: 0.0}
    assert SWAP_S - SERVICE_S == 10
