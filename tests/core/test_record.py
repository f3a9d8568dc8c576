"""What people do by hand, and news that is no news any more."""

from dataclasses import replace

from proxy.core.errors import EngineStartFailed, StoppedByHand
from proxy.core.messages import (
    CloseGate,
    EngineAsleep,
    EngineDown,
    EngineFound,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateLeft,
    Grant,
    Reject,
    RequestArrived,
    RequestEnded,
    SleepFailed,
    StartEngine,
    StartFailed,
    StopAsked,
    StopEngine,
    StopRemembered,
    Tick,
)
from proxy.core.states import EngineState
from proxy.core.stops import SETTLES_S
from tests.core.world import CARD, LIMITS, World


def test_a_stop_by_hand_ends_the_waiting_and_is_no_failure() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    stopping = EngineDown("a", "supervisord says STOPPED", by_hand="with supervisorctl")
    assert world.feed(stopping) == [StopEngine("a")]
    world.feed(EngineStopped("a"))
    assert world.state("a") is EngineState.STOPPED
    [rejected] = world.after(SETTLES_S)
    assert isinstance(rejected, Reject)
    assert isinstance(rejected.error, StoppedByHand)


def test_a_stop_that_is_asked_for_drains_first_and_is_not_taken_back() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"))
    assert world.feed(StopAsked("a", "by ann")) == []
    assert world.feed(Tick()) == []
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    world.feed(EngineStopped("a"))
    assert world.state("a") is EngineState.STOPPED


def test_a_stop_that_is_asked_for_during_a_start_ends_the_start() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"))
    stop, rejected = world.feed(StopAsked("a", "by ann"))
    assert isinstance(rejected, Reject)
    assert isinstance(rejected.error, StoppedByHand)
    assert stop == StopEngine("a")


def test_a_stop_by_hand_is_not_undone_by_requests_but_by_a_person() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), StopAsked("a", "by ann"))
    [command] = world.feed(RequestArrived(2, "a"))
    assert isinstance(command, Reject)
    assert isinstance(command.error, StoppedByHand)
    assert "was stopped by ann" in command.error.message
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == []
    [command] = world.feed(RequestArrived(3, "a"))
    assert isinstance(command, Reject)
    assert world.scheduler.stopped_by_hand() == {"a": "by ann"}
    assert world.feed(RequestArrived(4, "a", by_hand="by ann")) == [StartEngine("a")]
    assert world.scheduler.stopped_by_hand() == {}


def test_a_start_with_supervisorctl_undoes_a_stop_by_hand_too() -> None:
    world = World(a=30)
    world.feed(StopAsked("a", "by ann"))
    commands = world.feed(GateAsked("a"))
    assert commands == [world.opened("a")]
    assert world.feed(EngineReady("a"), RequestArrived(1, "a")) == [Grant(1)]


def test_where_the_setting_says_so_the_next_request_starts_what_a_person_stopped() -> None:
    world = World(a=30, limits=replace(LIMITS, wakes_after_stop_by_hand=True))
    world.feed(StopRemembered("a", "by ann"), StopAsked("a", "by ann"))
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]


def test_a_stop_from_before_this_life_is_remembered() -> None:
    world = World(a=30)
    [command] = world.feed(StopRemembered("a", "by ann"), StopRemembered("gone", "by bob"), RequestArrived(1, "a"))
    assert isinstance(command, Reject)
    assert "by ann" in command.error.message


def test_a_person_who_starts_what_drains_for_a_stop_takes_the_stop_back() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), StopAsked("a", "by ann"))
    assert world.feed(RequestArrived(2, "a", by_hand="by ann")) == [Grant(2)]
    assert world.state("a") is EngineState.READY


def test_a_stop_of_what_only_waits_sends_its_waiters_and_its_process_away() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b"), GateAsked("b"))
    rejected, closed = world.feed(StopAsked("b", "by ann"))
    assert isinstance(rejected, Reject)
    assert isinstance(closed, CloseGate)
    assert world.state("a") is EngineState.READY


def test_a_person_does_not_wait_for_the_end_of_a_cool_down() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), StartFailed("a", EngineStartFailed("x")), EngineStopped("a"))
    assert world.feed(RequestArrived(2, "a", by_hand="by ann")) == [StartEngine("a")]


def test_a_stop_of_what_does_not_run_is_nothing() -> None:
    world = World(a=30)
    assert world.feed(StopAsked("a", "by ann")) == []
    assert world.state("a") is EngineState.STOPPED


def test_late_news_of_an_engine_that_is_stopped_changes_nothing() -> None:
    world = World(a=30)
    late = (
        EngineReady("a"),
        EngineAsleep("a"),
        SleepFailed("a", "x"),
        StartFailed("a", EngineStartFailed("x")),
        EngineDown("a", "x"),
        EngineStopped("a"),
        GateLeft("a"),
        RequestEnded(1),
    )
    for event in late:
        assert world.feed(event) == []
        assert world.state("a") is EngineState.STOPPED


def test_an_engine_is_found_once() -> None:
    world = World(a=30)
    world.feed(EngineFound("a", (CARD,)))
    assert world.feed(EngineFound("a", (CARD,))) == []
    assert world.reserved() == {"a": 30}


def test_one_that_was_stopped_by_hand_and_runs_when_the_proxy_comes_back_was_started_by_hand() -> None:
    world = World(a=30)
    world.feed(StopRemembered("a", "by ann"), EngineFound("a", (CARD,)), EngineReady("a"))
    assert world.feed(RequestArrived(1, "a")) == [Grant(1)]


def test_who_waits_at_the_gate_is_seen_to_since_when_and_for_what() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"))
    world.feed(GateAsked("b"))
    world.after(3)
    a, b = world.scheduler.view(world.now)
    assert (a.at_gate_s, a.waits_for, b.at_gate_s) == (None, None, 3)
    assert b.waits_for == "it needs 30.00 GiB; held on card (40.00 GiB for models): a 30.00"
    world.feed(GateLeft("b"))
    assert world.scheduler.view(world.now)[1].at_gate_s is None


def test_one_that_is_restarted_waits_for_the_end_of_its_old_process() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"), GateAsked("a"))
    waits_for = world.scheduler.view(world.now)[0].waits_for
    assert waits_for == "the process before it has not ended, or its memory is not back"


def test_a_crash_is_counted_and_shown_with_its_reason_until_the_engine_serves_again() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    world.feed(EngineDown("a", "its API server, pid 7, ended", last_words="the last lines:\nx"))
    world.now += 2
    world.feed(EngineStopped("a", "SIGKILL"))
    view = world.scheduler.view(world.now)[0]
    assert (view.state, view.why) == (EngineState.STOPPED, "its API server, pid 7, ended: SIGKILL")
    assert (view.crashes, view.last_crash, view.last_crash_ago_s) == (1, view.why, 2)
    assert view.last_words == "the last lines:\nx"
    world.feed(RequestArrived(2, "a"), GateAsked("a"), EngineReady("a"))
    view = world.scheduler.view(world.now)[0]
    assert (view.crashes, view.last_crash, view.last_words) == (1, "its API server, pid 7, ended: SIGKILL", "")


def test_how_it_ended_is_said_once() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), EngineDown("a", "its process ended: SIGKILL"))
    world.feed(EngineStopped("a", "SIGKILL"))
    assert world.scheduler.view(world.now)[0].last_crash == "its process ended: SIGKILL"


def test_stops_and_failed_starts_are_no_crashes() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineDown("a", "x"), EngineStopped("a", "exit status 1"))
    world.feed(RequestArrived(2, "a", by_hand="by ann"), GateAsked("a"), EngineReady("a"))
    world.feed(EngineDown("a", "x", by_hand="with supervisorctl"), EngineStopped("a", "exit status 0"))
    view = world.scheduler.view(world.now)[0]
    assert (view.crashes, view.last_crash, view.why) == (0, None, "stopped with supervisorctl")


def test_a_stop_with_supervisorctl_keeps_who_did_it() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), EngineDown("a", "x", by_hand="with supervisorctl"))
    assert world.scheduler.stopped_by_hand() == {"a": "with supervisorctl"}
