"""The baselines do what their projects do, on traces small enough to be followed by hand."""

import pytest

from tests.bench.scheduler.baselines import BASELINES
from tests.bench.scheduler.trace import ModelCosts, Outcome, Trace, World, numbered

COLD = ModelCosts(gib=20.0, start_s=50.0, stop_s=2.0)
CARD = {"gpu0": 24.0}
TURNS = [(0.0, "a", 4.0), (51.0, "b", 4.0), (52.0, "a", 4.0)]
"""While `a` serves the first one, `b` is wanted, and then `a` again."""


def played(policy: str, drawn: list[tuple[float, str, float]], **models: ModelCosts) -> Outcome:
    world = World(devices_gib=CARD, models=models or {"a": COLD, "b": COLD}, host_gib=64.0, max_wait_s=120.0)
    return BASELINES[policy](numbered("turns", world, drawn))


@pytest.mark.parametrize(
    ("policy", "waits_s"),
    [
        # The first is served from 50 to 54; `a` leaves until 56 and `b` is up at 106. It serves until 110, and `a` is
        # back at 162.
        ("fifo-lru", [50.0, 55.0, 110.0]),
        # The third goes ahead of the second, and ends at 56; then `b` is up at 108.
        ("ready-first", [50.0, 57.0, 0.0]),
        # `a` stays 5 s, so that the third is served at once too.
        ("one-active", [50.0, 57.0, 0.0]),
        # `a` stays 10 s, which is what a switch is thought to take before one was measured, and `b` is up at 112.
        ("cost-aware", [50.0, 61.0, 0.0]),
    ],
)
def test_each_serves_in_its_own_order(policy: str, waits_s: list[float]) -> None:
    outcome = played(policy, TURNS)
    assert outcome.waits_s == pytest.approx(waits_s)


def test_swaps_and_the_time_that_they_take_are_counted() -> None:
    outcome = played("fifo-lru", TURNS)
    assert (outcome.swaps, outcome.lost_s, outcome.refused) == (3, 3 * 50.0 + 2 * 2.0, 0)


@pytest.mark.parametrize("policy", BASELINES)
def test_who_can_sleep_does_and_wakes_in_seconds(policy: str) -> None:
    sleepy = ModelCosts(gib=20.0, start_s=50.0, sleep_levels=(1,), sleep_s=(1.5, 1.0), wake_s=(2.0, 3.0), host_gib=20.0)
    outcome = played(policy, [(0.0, "a", 1.0), (200.0, "b", 1.0), (400.0, "a", 1.0)], a=sleepy, b=sleepy)
    assert outcome.waits_s[2] < 25.0, "asleep at 1.5 s, awake 2 s later, and whatever the policy waits for"
    assert outcome.swaps == 3


@pytest.mark.parametrize("policy", BASELINES)
def test_sleepers_that_leave_no_room_are_stopped(policy: str) -> None:
    asleep = ModelCosts(gib=14.0, start_s=50.0, sleep_levels=(1,), asleep_gib=6.0, host_gib=1.0)
    drawn = [(300.0 * number, "abcd"[number % 4], 1.0) for number in range(12)]
    outcome = played(policy, drawn, **dict.fromkeys("abcd", asleep))
    assert outcome.worst_s < 300.0


@pytest.mark.parametrize("policy", BASELINES)
def test_what_fits_together_is_swapped_by_one_active_only(policy: str) -> None:
    light = ModelCosts(gib=10.0, start_s=50.0)
    outcome = played(policy, [(200.0 * number, "ab"[number % 2], 1.0) for number in range(6)], a=light, b=light)
    assert outcome.swaps == (6 if policy in ("one-active", "cost-aware") else 2)


@pytest.mark.parametrize("policy", BASELINES)
def test_whoever_can_never_be_served_is_told_of(policy: str) -> None:
    world = World(devices_gib=CARD, models={"a": ModelCosts(gib=30.0, start_s=50.0)})
    with pytest.raises(RuntimeError, match=f"{policy} leaves 1 requests waiting for ever"):
        BASELINES[policy](Trace("never", world, numbered("never", world, [(0.0, "a", 1.0)]).requests))
