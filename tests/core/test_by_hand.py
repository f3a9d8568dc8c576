"""What people do to engines, and what follows for who asks next."""

import pytest

from proxy.core.errors import StoppedByHand
from proxy.core.messages import (
    EngineReady,
    GateAsked,
    GateReached,
    Grant,
    PinSet,
    Reject,
    RequestArrived,
    RequestEnded,
    SleepAsked,
    SleepEngine,
    StopAsked,
    StopEngine,
)
from proxy.core.roster import EngineNeeds
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, LIMITS, SlowWorld, amounts, needs


def sleeper(host: float = 100) -> SlowWorld:
    world = SlowWorld()
    world.set_up({CARD: 40}, {"a": needs(amounts(30, asleep=2, host=20), {CARD: 40}, levels=(1, 2))}, LIMITS, host=host)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    return world


def test_a_stop_drains_first_sends_away_who_waits_and_holds() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), StopAsked("a", "by ann"))
    assert world.state("a") is EngineState.DRAINING
    [refusal] = world.feed(RequestArrived(2, "a"))
    assert isinstance(refusal, Reject)
    assert isinstance(refusal.error, StoppedByHand)
    assert "a was stopped by ann" in refusal.error.message
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]


def test_a_person_who_asks_for_it_takes_a_stop_back_while_it_drains() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), StopAsked("a", "by ann"))
    assert world.feed(RequestArrived(2, "a", by_hand="by bob")) == [Grant(2)]
    assert world.state("a") is EngineState.READY


@pytest.mark.parametrize("level", [1, 2])
def test_a_sleep_drains_first_and_goes_to_the_level_that_was_asked_for(level: int) -> None:
    world = sleeper()
    world.feed(SleepAsked("a", level, "by ann"))
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(1)) == [SleepEngine("a", level)]


def test_what_cannot_be_is_told_and_not_done() -> None:
    world = sleeper(host=10)
    error = world.scheduler.why_not_sleep("a", 1)
    assert error is not None
    assert "stop others, or sleep at level 2" in error.message
    assert world.feed(SleepAsked("a", 1, "by ann")) == []
    assert world.state("a") is EngineState.READY
    assert world.scheduler.why_not_sleep("a", 2) is None


def test_a_start_by_hand_is_not_weighed_against_who_is_up() -> None:
    """b has just come up and is busy: a client would wait for it, a person does not."""
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "b"), GateAsked("b"), GateReached("b"), EngineReady("b"))
    world.feed(RequestArrived(2, "a"))
    assert world.state("b") is EngineState.READY
    world.feed(RequestArrived(3, "a", by_hand="by ann"))
    assert world.state("b") is EngineState.DRAINING


def test_a_forced_stop_waits_for_nobody_whom_it_serves() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    assert world.feed(StopAsked("a", "by ann")) == []
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(StopAsked("a", "by ann", at_once=True)) == [StopEngine("a", at_once=True)]
    assert world.state("a") is EngineState.STOPPING
    assert world.feed(StopAsked("a", "by ann", at_once=True)) == []


def test_a_forced_stop_of_one_that_starts_ends_it_without_asking() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"))
    refusal, stop = world.feed(StopAsked("a", "by ann", at_once=True))
    assert {type(refusal), type(stop)} == {Reject, StopEngine}
    assert StopEngine("a", at_once=True) in (refusal, stop)


def test_who_is_pinned_by_hand_makes_room_for_nobody_until_that_is_taken_back() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), RequestEnded(1))
    world.feed(PinSet("a", is_pinned=True))
    world.feed(RequestArrived(2, "b"))
    assert world.state("a") is EngineState.READY
    assert world.scheduler.pins() == {"a": True}
    assert world.feed(PinSet("a", is_pinned=False)) == [StopEngine("a")]
    assert world.scheduler.pins() == {}, "the catalog says the same"


def test_what_the_catalog_pins_a_person_may_unpin() -> None:
    world = SlowWorld()
    pinned = EngineNeeds(amounts(30), ((CARD,),), 60, (), Terms(is_pinned=True))
    world.set_up({CARD: 40}, {"a": pinned, "b": needs(amounts(30), {CARD: 40})})
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), RequestEnded(1))
    assert [one.is_pinned for one in world.scheduler.view(world.now)] == [True, False]
    world.feed(RequestArrived(2, "b"))
    assert world.state("a") is EngineState.READY
    assert world.feed(PinSet("a", is_pinned=False)) == [StopEngine("a")]
    assert world.scheduler.pins() == {"a": False}
