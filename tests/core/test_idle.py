"""Who is idle for long enough falls asleep, is stopped, or stays."""

from dataclasses import replace
from math import inf

import pytest

from proxy.core.messages import (
    EngineAsleep,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateReached,
    Grant,
    RequestArrived,
    RequestEnded,
    SleepEngine,
    StopEngine,
)
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, LIMITS, SlowWorld, amounts, needs


def idle_engine(terms: Terms, keep_alive_s: float | None = None, host: float = 100) -> SlowWorld:
    """One that can sleep has been ready since 0 s and has had one request, which ended at 0 s."""
    world = SlowWorld()
    taken = replace(needs(amounts(30, asleep=2, host=20), {CARD: 40}, levels=(1,)), terms=terms)
    world.set_up({CARD: 40}, {"a": taken}, LIMITS, host=host)
    world.feed(RequestArrived(1, "a", keep_alive_s=keep_alive_s), GateAsked("a"), GateReached("a"), EngineReady("a"))
    world.feed(RequestEnded(1))
    return world


def test_it_falls_asleep_then_is_stopped_after_its_times_without_requests() -> None:
    world = idle_engine(Terms(idle_sleep_s=60, idle_stop_s=300))
    assert world.after(59) == []
    assert world.after(1) == [SleepEngine("a", 1)]
    world.feed(EngineAsleep("a"))
    assert world.after(239) == []
    assert world.after(1) == [StopEngine("a")]
    world.feed(EngineStopped("a"))
    assert "idle 300 s, which is 300 s or more" in world.scheduler.explain("a", world.now).log[1].why


def test_a_request_starts_the_time_anew() -> None:
    world = idle_engine(Terms(idle_stop_s=60))
    world.after(50)
    assert world.feed(RequestArrived(2, "a")) == [Grant(2)]
    assert world.after(100) == [], "it has a lease"
    world.feed(RequestEnded(2))
    assert world.after(59) == []
    assert world.after(1) == [StopEngine("a")]


def test_without_times_it_stays() -> None:
    assert idle_engine(Terms()).after(1e6) == []


def test_a_pinned_one_stays() -> None:
    assert idle_engine(Terms(is_pinned=True, idle_sleep_s=1, idle_stop_s=2)).after(10) == []


@pytest.mark.parametrize(("keep_alive_s", "after_s"), [(0.0, 0.0), (10.0, 10.0), (500.0, 500.0)])
def test_the_keep_alive_of_the_last_request_counts_before_the_catalogs_times(
    keep_alive_s: float, after_s: float
) -> None:
    world = idle_engine(Terms(idle_sleep_s=60, idle_stop_s=300), keep_alive_s)
    if after_s:
        assert world.after(after_s - 1) == []
        assert world.after(1) == [StopEngine("a")]
    assert world.state("a") is EngineState.STOPPING


def test_a_keep_alive_for_good_overrules_them_until_a_request_says_otherwise() -> None:
    world = idle_engine(Terms(idle_sleep_s=60, idle_stop_s=300), inf)
    assert world.after(1e6) == []
    world.feed(RequestArrived(2, "a"), RequestEnded(2))
    assert world.after(1e6) == [], "one that says nothing changes nothing"
    world.feed(RequestArrived(3, "a", keep_alive_s=5.0), RequestEnded(3))
    assert world.after(5) == [StopEngine("a")]


def test_after_a_stop_the_catalogs_times_count_again() -> None:
    world = idle_engine(Terms(idle_stop_s=300), 0.0)
    world.feed(EngineStopped("a"), RequestArrived(2, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    world.feed(RequestEnded(2))
    assert world.after(299) == []
    assert world.after(1) == [StopEngine("a")]


def test_a_sleep_that_the_host_has_no_memory_for_is_not_begun() -> None:
    assert idle_engine(Terms(idle_sleep_s=60), host=10).after(100) == []
