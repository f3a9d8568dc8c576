"""The clairvoyant optimum, on traces small enough to be computed by hand."""

import pytest

from tests.bench.scheduler.optimum import optimum
from tests.bench.scheduler.trace import ModelCosts, Trace, World, numbered

COLD = ModelCosts(gib=20.0, start_s=50.0, prepare_s=7.0, stop_s=2.0)
CARD = {"gpu0": 24.0}


def trace_of(drawn: list[tuple[float, str, float]], costs: ModelCosts = COLD) -> Trace:
    return numbered("by-hand", World(devices_gib=CARD, models={"a": costs, "b": costs}), drawn, is_small=True)


def test_it_finds_the_stays_with_the_least_sum_of_waits() -> None:
    # Both of `a` first: `a` is ready at 50 and drained at 55, gone at 57; `b` has prepared by then, loads 43 s and is
    # up at 100. With `b` between them it would be 50 + 89 + 127, with `b` first 50 + 108 + 88.
    outcome = optimum(trace_of([(0.0, "a", 4.0), (10.0, "b", 3.0), (20.0, "a", 5.0)]))
    assert outcome.waits_s == pytest.approx([50.0, 90.0, 30.0])
    assert (outcome.swaps, outcome.lost_s) == (2, 50.0 + 2.0 + 43.0)


def test_it_waits_for_a_request_that_it_knows_will_come() -> None:
    # `b` could load from 108 on, and would keep the second of `a`, who comes at 110, waiting until 199. Better that it
    # loads when that one has been served and `a` is gone, at 113, and is up at 156.
    outcome = optimum(trace_of([(0.0, "a", 1.0), (101.0, "b", 1.0), (110.0, "a", 1.0)]))
    assert outcome.waits_s == pytest.approx([50.0, 55.0, 0.0])
    assert outcome.swaps == 2


def test_it_loads_nothing_before_somebody_waits_for_it() -> None:
    outcome = optimum(trace_of([(0.0, "a", 1.0), (500.0, "b", 1.0)]))
    assert outcome.waits_s == pytest.approx([50.0, 50.0]), "the process too is started for the request only"


def test_a_second_time_it_wakes_from_sleep() -> None:
    sleepy = ModelCosts(gib=20.0, start_s=50.0, sleep_levels=(1,), sleep_s=(1.5, 1.0), wake_s=(2.0, 3.0))
    outcome = optimum(trace_of([(0.0, "a", 1.0), (500.0, "b", 1.0), (900.0, "a", 1.0)], sleepy))
    assert outcome.waits_s[2] == pytest.approx(2.0), "it knows when nobody else will come, and that `a` will be wanted"


def test_a_bound_that_is_known_to_be_possible_changes_nothing() -> None:
    drawn = [(4.0 * number, "ab"[number % 2], 1.0) for number in range(20)]
    free = optimum(trace_of(drawn))
    assert optimum(trace_of(drawn), sum(free.waits_s)).waits_s == free.waits_s
    with pytest.raises(ValueError, match="no way"):
        optimum(trace_of(drawn), sum(free.waits_s) - 1.0)


@pytest.mark.parametrize(
    "world",
    [
        World(devices_gib={"gpu0": 24.0, "gpu1": 24.0}, models={"a": COLD, "b": COLD}),
        World(devices_gib=CARD, models={"a": COLD}),
        World(devices_gib={"gpu0": 48.0}, models={"a": COLD, "b": COLD}),
        World(devices_gib=CARD, models=dict.fromkeys("ab", ModelCosts(gib=20.0, start_s=50.0, concurrency=1))),
    ],
)
def test_what_it_is_not_exact_for_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="the optimum is known"):
        optimum(numbered("other", world, [(0.0, "a", 1.0), (1.0, "a", 1.0)]))
