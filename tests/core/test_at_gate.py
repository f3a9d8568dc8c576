"""Processes ask at the gate, import what they can, and get leave when there is room and they are done."""

from proxy.core.errors import EngineStartFailed
from proxy.core.limits import Limits
from proxy.core.messages import (
    CloseGate,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateLeft,
    GateReached,
    PreloadAsked,
    RequestArrived,
    RequestEnded,
    StartEngine,
    StartFailed,
    StopAsked,
    StopEngine,
)
from proxy.core.states import EngineState
from tests.core.world import CARD, LIMITS, SlowWorld, amounts, needs


def test_leave_is_given_when_the_process_has_done_what_it_can_without() -> None:
    world = SlowWorld(a=30)
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]
    assert world.after(1.0, GateAsked("a")) == []
    assert world.after(7.0, GateReached("a")) == [world.opened("a")]
    assert world.scheduler.costs("a").prepare_s == 8.0


PHASES = {"config": 2.0, "weights": 5.0}


def test_who_waits_for_a_start_waits_for_its_imports_too() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"))
    world.after(1.0, GateAsked("a"))
    world.after(7.0, GateReached("a"))
    world.after(7.0, EngineReady("a", PHASES))
    costs = world.scheduler.costs("a")
    assert list(costs.phases.items()) == [("import", 8.0), ("config", 2.0), ("weights", 5.0)]
    assert costs.expected_rest_s("config", 1.0) == 6.0, "what is left after leave has no imports in it"
    assert costs.load_s == 7.0


def test_for_a_process_that_a_person_started_they_are_seen_too() -> None:
    world = SlowWorld(a=30)
    world.feed(GateAsked("a"))
    world.after(7.0, GateReached("a"))
    world.after(7.0, EngineReady("a", PHASES))
    assert world.scheduler.costs("a").phases == {"import": 7.0} | PHASES


def test_where_nobody_saw_the_phases_those_of_before_are_kept() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a", PHASES))
    assert world.scheduler.costs("a").phases == PHASES
    world.feed(RequestEnded(1), StopAsked("a", "by ann"), EngineStopped("a"))
    world.feed(RequestArrived(2, "a", by_hand="by ann"), GateAsked("a"))
    world.after(7.0, GateReached("a"))
    world.feed(EngineReady("a"))
    assert world.scheduler.costs("a").phases == PHASES


def test_a_process_that_a_person_started_has_its_room_reserved_while_it_prepares() -> None:
    world = SlowWorld(a=30)
    assert world.feed(GateAsked("a")) == []
    assert (world.state("a"), world.reserved()) == (EngineState.STARTING, {"a": 30})
    assert world.feed(GateReached("a")) == [world.opened("a")]


def test_one_that_is_prepared_before_there_is_room_gets_leave_as_soon_as_there_is() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    world.feed(GateAsked("b"), GateReached("b"))
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [world.opened("b")]


def test_one_that_leaves_while_it_prepares_wants_nothing_any_more() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), GateAsked("b"))
    assert world.state("a") is EngineState.DRAINING
    world.feed(GateLeft("b"))
    assert (world.state("a"), world.state("b")) == (EngineState.READY, EngineState.STOPPED)


def test_a_newer_process_has_to_prepare_anew() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    world.feed(GateAsked("b"), GateReached("b"), GateAsked("b"), RequestEnded(1))
    assert world.feed(EngineStopped("a")) == []
    assert world.feed(GateReached("b")) == [world.opened("b")]


# --- who asks too late, or again ----------------------------------------------------------------------------------


def test_a_process_that_comes_while_its_engine_is_being_stopped_undoes_nothing() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), StopAsked("a", "by ann"))
    [refusal] = world.feed(GateAsked("a"))
    assert isinstance(refusal, CloseGate)
    assert "a is being stopped: stopped by ann" in refusal.error.message
    world.feed(GateLeft("a"), EngineStopped("a"))
    assert (world.state("a"), world.scheduler.stopped_by_hand()) == (EngineState.STOPPED, {"a": "by ann"})


def test_one_that_a_person_starts_while_the_one_before_stops_is_let_in_after_it() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), StopAsked("a", "by ann"))
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    world.feed(GateAsked("a"), GateReached("a"))
    assert world.feed(EngineStopped("a")) == [world.opened("a")]
    assert world.scheduler.stopped_by_hand() == {}


def test_what_a_process_took_to_prepare_counts_from_its_creation_also_where_room_came_meanwhile() -> None:
    world = SlowWorld()
    world.set_up({CARD: 40}, {name: needs(amounts(30), {CARD: 40}) for name in ("a", "b")}, Limits(max_wait_s=1))
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    world.feed(RequestArrived(2, "b"))
    assert world.state("b") is EngineState.PARKED
    world.after(20, RequestEnded(1))
    world.feed(EngineStopped("a"))
    assert world.state("b") is EngineState.STARTING
    world.after(5, GateAsked("b"))
    world.feed(GateReached("b"))
    assert world.scheduler.costs("b").prepare_s == 25.0


# --- loaded ahead -------------------------------------------------------------------------------------------------


def test_what_is_loaded_ahead_takes_free_room_only_and_waits_for_it() -> None:
    world = SlowWorld(a=30, b=30)
    assert world.feed(PreloadAsked("a")) == [StartEngine("a")]
    assert world.feed(PreloadAsked("b")) == []
    world.feed(GateAsked("a"), GateReached("a"), EngineReady("a"))
    assert world.after(1000) == [], "a has nobody, and stays"
    world.feed(RequestArrived(1, "a", keep_alive_s=0.0), RequestEnded(1))
    assert world.feed(EngineStopped("a")) == [StartEngine("b")]


def test_a_start_ahead_that_fails_is_tried_again_after_its_cool_down_and_not_before() -> None:
    world = SlowWorld(a=30)
    world.feed(PreloadAsked("a"), StartFailed("a", EngineStartFailed("no")))
    assert world.feed(EngineStopped("a")) == []
    assert world.after(LIMITS.cool_down_s - 1) == []
    assert world.after(2) == [StartEngine("a")]


def test_a_stop_by_hand_ends_a_start_ahead_that_waits_for_room() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), PreloadAsked("b"))
    world.feed(StopAsked("b", "by ann"), StopAsked("a", "by ann"), RequestEnded(1))
    assert world.feed(EngineStopped("a")) == []
    assert world.feed(PreloadAsked("b")) == [], "what a person stopped is not loaded"
