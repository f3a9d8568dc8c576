"""Stops by hand, and restarts by hand, which begin like them."""

from dataclasses import replace

from proxy.core.errors import StoppedByHand
from proxy.core.messages import (
    EngineDown,
    EngineFound,
    EngineReady,
    EngineStopped,
    Event,
    GateAsked,
    Grant,
    Reject,
    RequestArrived,
    StartEngine,
    StopAsked,
    StopEngine,
    StopRemembered,
)
from proxy.core.stops import SETTLES_S
from tests.core.world import CARD, LIMITS, World

BY_HAND = EngineDown("a", "supervisord says STOPPING", by_hand="with supervisorctl")


def ready(world: World) -> World:
    world.feed(EngineFound("a", (CARD,)), EngineReady("a"))
    return world


def test_a_request_in_the_midst_of_a_restart_waits_for_the_new_process_and_starts_none_itself() -> None:
    world = ready(World(a=30))
    assert world.feed(BY_HAND) == [StopEngine("a")]
    assert world.feed(RequestArrived(1, "a")) == []
    assert world.after(9) == [], "its process takes its time to end"
    assert world.feed(EngineStopped("a")) == []
    assert world.after(SETTLES_S - 0.1, RequestArrived(2, "a")) == []
    assert world.feed(GateAsked("a")) == [world.opened("a")]
    assert world.feed(EngineReady("a")) == [Grant(1), Grant(2)]
    assert world.scheduler.stopped_by_hand() == {}


def test_the_new_process_may_come_before_the_old_ones_memory_is_free() -> None:
    world = ready(World(a=30))
    world.feed(BY_HAND, RequestArrived(1, "a"), GateAsked("a"))
    assert world.feed(EngineStopped("a")) == [world.opened("a")]
    assert world.feed(EngineReady("a")) == [Grant(1)]


def test_a_stop_that_no_process_follows_stays_and_is_told_to_those_who_waited() -> None:
    world = ready(World(a=30))
    world.feed(BY_HAND, RequestArrived(1, "a"), EngineStopped("a"))
    [told] = world.after(SETTLES_S)
    assert isinstance(told, Reject)
    assert isinstance(told.error, StoppedByHand)
    [at_once] = world.feed(RequestArrived(2, "a"))
    assert isinstance(at_once, Reject)
    assert world.scheduler.stopped_by_hand() == {"a": "with supervisorctl"}


def test_who_really_wants_it_stopped_or_started_need_not_wait() -> None:
    world = ready(World(a=30))
    world.feed(BY_HAND, RequestArrived(1, "a"))
    [told] = world.feed(StopAsked("a", "by ann"))
    assert isinstance(told, Reject)
    world.feed(EngineStopped("a"))
    assert world.feed(RequestArrived(2, "a", by_hand="by ann")) == [StartEngine("a")]


def test_what_has_not_run_and_is_stopped_says_who_did_it_and_not_that_nobody_asked() -> None:
    world = World(a=30, b=30)
    world.feed(StopAsked("a", "by ann"), StopRemembered("b", "by bob"))
    assert [(view.why, view.stopped_by) for view in world.scheduler.view(0)] == [
        ("stopped by ann", "by ann"),
        ("stopped by bob", "by bob"),
    ]


def test_where_requests_may_undo_a_stop_they_do_so_once_it_is_no_restart() -> None:
    world = ready(World(a=30, limits=replace(LIMITS, wakes_after_stop_by_hand=True)))
    events: tuple[Event, ...] = (BY_HAND, RequestArrived(1, "a"), EngineStopped("a"))
    assert world.feed(*events) == []
    assert world.after(SETTLES_S) == [StartEngine("a")]
