from dataclasses import replace

from proxy.core.diagnose import UNKNOWN, Diagnosis, diagnose
from proxy.core.errors import EngineStartFailed, ModelTooLarge, WaitedTooLong
from proxy.core.messages import (
    CloseGate,
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
    StartEngine,
    StartFailed,
    StopAsked,
    StopEngine,
    Tick,
)
from proxy.core.states import EngineState
from tests.core.world import CARD, LIMITS, World


def test_the_first_request_reserves_memory_and_starts_the_engine() -> None:
    world = World(a=30)
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]
    assert world.reserved() == {"a": 30}


def test_a_start_is_asked_for_once_however_many_requests_wait() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"))
    assert world.feed(RequestArrived(2, "a")) == []
    commands = world.feed(GateAsked("a"))
    assert commands == [world.opened("a")]
    assert world.feed(EngineReady("a")) == [Grant(1), Grant(2)]
    assert world.feed(RequestArrived(3, "a")) == [Grant(3)]


def test_two_models_that_fit_are_up_together_and_start_one_after_the_other() -> None:
    world = World(a=20, b=20)
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]
    assert world.feed(RequestArrived(2, "b")) == []
    assert world.feed(EngineReady("a")) == [Grant(1), StartEngine("b")]
    assert world.feed(EngineReady("b")) == [Grant(2)]


def test_an_idle_engine_leaves_and_its_room_is_used_only_once_seen_free() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    assert world.feed(RequestArrived(2, "b")) == [StopEngine("a")]
    assert world.feed(Tick()) == []
    assert world.feed(EngineStopped("a")) == [StartEngine("b")]


def test_a_busy_engine_finishes_its_requests_before_it_stops_and_takes_no_new_ones() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"))
    assert world.feed(RequestArrived(2, "b")) == []
    world.after(51)
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestArrived(3, "a")) == []
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [StartEngine("b")]
    assert world.feed(EngineReady("b")) == [Grant(2)]
    assert world.after(51, RequestEnded(2)) == [StopEngine("b")]


def test_a_draining_engine_serves_again_when_nobody_needs_its_room() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b"))
    world.after(51)
    world.feed(RequestArrived(3, "a"))
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(2)) == [Grant(3)]
    assert world.state("a") is EngineState.READY


def test_the_least_recently_used_idle_engine_leaves_first() -> None:
    world = World(a=15, b=15, c=15)
    for ticket, model in enumerate(("a", "b"), start=1):
        world.feed(RequestArrived(ticket, model), EngineReady(model), RequestEnded(ticket))
    world.after(5, RequestArrived(3, "a"))
    world.after(1, RequestEnded(3))
    assert world.feed(RequestArrived(4, "c")) == [StopEngine("b")]


def test_no_more_engines_leave_than_needed() -> None:
    world = World(small=5, large=30, wanted=30)
    world.feed(RequestArrived(1, "small"), EngineReady("small"), RequestEnded(1))
    world.after(1, RequestArrived(2, "large"))
    world.feed(EngineReady("large"), RequestEnded(2))
    assert world.feed(RequestArrived(3, "wanted")) == [StopEngine("large")]
    assert world.feed(EngineStopped("large")) == [StartEngine("wanted")]
    assert world.state("small") is EngineState.READY


def test_two_small_engines_leave_for_a_large_one_one_at_a_time() -> None:
    world = World(a=20, b=20, large=40)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    world.after(1, RequestArrived(2, "b"))
    world.feed(EngineReady("b"), RequestEnded(2))
    assert world.feed(RequestArrived(3, "large")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [StopEngine("b")]
    assert world.feed(EngineStopped("b")) == [StartEngine("large")]


def test_a_later_demand_does_not_take_the_room_an_earlier_one_waits_for() -> None:
    world = World(busy=30, first=35, second=10)
    world.feed(RequestArrived(1, "busy"), EngineReady("busy"))
    assert world.feed(RequestArrived(2, "first")) == []
    assert world.feed(RequestArrived(3, "second")) == []
    assert world.feed(RequestEnded(1)) == [StopEngine("busy")]
    assert world.feed(EngineStopped("busy")) == [StartEngine("first")]


def test_a_later_demand_goes_ahead_in_room_that_nobody_earlier_needs() -> None:
    world = World(busy=20, first=25, second=10, limits=replace(LIMITS, max_wait_s=500))  # nobody is due
    world.feed(RequestArrived(1, "busy"), EngineReady("busy"), RequestArrived(2, "first"))
    assert world.feed(RequestArrived(3, "second")) == [StartEngine("second")]


def test_an_engine_that_has_just_become_ready_serves_its_waiters_before_it_is_a_victim() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "b"))
    assert world.after(51, EngineReady("a")) == [Grant(1)]
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]


def test_a_client_that_leaves_the_queue_takes_its_ticket_with_it() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "a"), RequestEnded(1))
    assert world.feed(EngineReady("a")) == [Grant(2)]


def test_a_grant_whose_client_left_in_the_same_step_is_a_lease_that_is_returned() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"))
    assert world.feed(EngineReady("a")) == [Grant(1)]
    world.feed(RequestEnded(1))
    assert world.feed(RequestArrived(2, "b")) == [StopEngine("a")]


def test_a_ticket_ended_twice_changes_nothing() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    assert world.feed(RequestEnded(1)) == []


def test_a_model_that_can_never_fit_is_refused_with_the_numbers() -> None:
    world = World(a=50)
    [command] = world.feed(RequestArrived(1, "a"))
    assert isinstance(command, Reject)
    assert isinstance(command.error, ModelTooLarge)
    assert "50.00 GiB" in command.error.message
    assert "40.00 GiB" in command.error.message


def test_a_failed_start_rejects_its_waiters_frees_the_memory_and_cools_down() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"))
    error = EngineStartFailed("no such file")
    rejected, stop = world.feed(StartFailed("a", error))
    assert isinstance(rejected, Reject)
    assert rejected.error.message == "no such file"
    assert stop == StopEngine("a", at_once=True)
    assert world.feed(EngineStopped("a")) == []
    assert world.state("a") is EngineState.FAILED
    assert world.reserved() == {}


def test_within_the_cool_down_a_request_gets_the_cause_and_when_to_come_back() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), StartFailed("a", EngineStartFailed("no such file")), EngineStopped("a"))
    [command] = world.after(4, RequestArrived(2, "a"))
    assert isinstance(command, Reject)
    assert command.error.message == "no such file"
    assert command.error.retry_after_s == 6
    assert world.after(7, RequestArrived(3, "a")) == [StartEngine("a")]


def test_a_start_by_hand_is_tried_even_within_the_cool_down() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), StartFailed("a", EngineStartFailed("x")), EngineStopped("a"))
    commands = world.feed(GateAsked("a"))
    assert commands == [world.opened("a")]


def test_an_engine_that_ends_while_starting_has_failed_with_its_last_words() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    rejected, stop = world.feed(EngineDown("a", "exit status 1", last_words="the last lines:\nCUDA out of memory"))
    assert isinstance(rejected, Reject)
    assert "CUDA" not in rejected.error.message, "its log is not the clients'"
    assert rejected.error.in_full.endswith("\nexit status 1; the last lines:\nCUDA out of memory")
    assert world.scheduler.view(world.now)[0].failure == rejected.error.in_full
    assert stop == StopEngine("a", at_once=True)


def fail(world: World, diagnosis: Diagnosis = UNKNOWN) -> None:
    world.feed(RequestArrived(900, "a"), GateAsked("a"), EngineDown("a", "x", diagnosis=diagnosis), EngineStopped("a"))


def test_an_unknown_cause_is_left_alone_longer_each_time_until_a_start_succeeds() -> None:
    world = World(a=30)
    fail(world)
    assert world.scheduler.view(world.now)[0].retry_in_s == 10
    world.now += 10
    fail(world)
    assert world.scheduler.view(world.now)[0].retry_in_s == 20
    world.after(20, RequestArrived(1, "a"))
    world.feed(EngineReady("a"), RequestEnded(1), EngineDown("a", "killed"), EngineStopped("a"))
    assert world.state("a") is EngineState.STOPPED
    fail(world)
    assert world.scheduler.view(world.now)[0].retry_in_s == 10


def test_a_cause_in_the_configuration_keeps_the_engine_failed_until_somebody_starts_it() -> None:
    world = World(a=30)
    flag = diagnose("vllm: error: unrecognized arguments: --nope", 2)
    fail(world, flag)
    [command] = world.after(1_000_000, RequestArrived(1, "a"))
    assert isinstance(command, Reject)
    assert command.error.retry_after_s is None
    assert flag.cause in command.error.message
    assert "bin/manage_vllm.sh start a" in command.error.message
    assert world.scheduler.view(world.now)[0].retry_in_s is None
    assert world.feed(RequestArrived(2, "a", by_hand="by ann")) == [StartEngine("a")]


def test_an_engine_that_dies_while_serving_is_cleared_away_and_started_again_for_the_next() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"))
    assert world.feed(EngineDown("a", "killed")) == [StopEngine("a", at_once=True)]
    assert world.feed(RequestArrived(2, "a")) == []
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]


def test_news_of_an_end_that_was_asked_for_changes_nothing() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1), RequestArrived(2, "b"))
    assert world.feed(EngineDown("a", "exit status 0")) == []


def test_a_start_that_takes_too_long_is_a_failure() -> None:
    world = World(a=30, start_timeout_s=60)
    world.feed(RequestArrived(1, "a"))
    assert world.after(59) == []
    rejected, stop = world.after(2)
    assert isinstance(rejected, Reject)
    assert "60 s" in rejected.error.message
    assert stop == StopEngine("a", at_once=True)


def test_a_request_that_waited_its_limit_is_told_why() -> None:
    world = World(a=30, b=30, start_timeout_s=1000)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b"))
    assert world.after(100) == []
    [command] = world.after(1)
    assert isinstance(command, Reject)
    assert isinstance(command.error, WaitedTooLong)
    assert command.ticket == 2


def test_a_start_by_hand_makes_room_first() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    assert world.feed(GateAsked("b")) == [StopEngine("a")]
    commands = world.feed(EngineStopped("a"))
    assert commands == [world.opened("b")]
    assert world.reserved() == {"b": 30}


def test_a_start_by_hand_that_can_never_fit_is_refused_at_the_gate() -> None:
    world = World(a=50)
    [command] = world.feed(GateAsked("a"))
    assert isinstance(command, CloseGate)
    assert isinstance(command.error, ModelTooLarge)


def test_a_process_that_leaves_the_gate_is_no_demand_any_more() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), GateAsked("b"))
    assert world.state("a") is EngineState.DRAINING
    world.feed(GateLeft("b"))
    assert world.state("a") is EngineState.READY


def test_a_process_that_waits_at_the_gate_too_long_is_sent_away() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), GateAsked("b"))
    [command] = world.after(101)
    assert isinstance(command, CloseGate)
    assert isinstance(command.error, WaitedTooLong)


def test_a_restart_by_hand_lets_the_new_process_in_only_when_the_old_memory_is_free() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestEnded(1))
    assert world.feed(GateAsked("a")) == [StopEngine("a")]
    commands = world.feed(EngineStopped("a"))
    assert commands == [world.opened("a")]


def test_a_restart_by_hand_during_a_start_is_the_same() -> None:
    world = World(a=30)
    commands = world.feed(RequestArrived(1, "a"), GateAsked("a"))
    assert commands == [world.opened("a")]
    assert world.feed(GateAsked("a")) == [StopEngine("a")]
    commands = world.feed(EngineStopped("a"))
    assert commands == [world.opened("a")]
    assert world.feed(EngineReady("a")) == [Grant(1)]


def test_an_engine_from_an_earlier_life_is_counted_and_serves_when_it_answers() -> None:
    world = World(a=30, b=30)
    assert world.feed(EngineFound("a", (CARD,))) == []
    assert world.reserved() == {"a": 30}
    assert world.feed(RequestArrived(1, "b")) == []
    assert world.feed(EngineReady("a")) == [StopEngine("a")]


def test_a_late_ready_of_an_engine_that_was_stopped_changes_nothing() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), StopAsked("a", "by ann"))
    assert world.feed(EngineReady("a")) == []
    assert world.state("a") is EngineState.STOPPING


def test_the_view_tells_states_leases_waiters_and_failures() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b"))
    world.now += 3
    a, b = world.scheduler.view(world.now)
    assert (a.state, a.leases, a.waiting, a.reserved_bytes) == (EngineState.READY, 1, 0, 30 * 2**30)
    assert (b.state, b.leases, b.waiting, b.oldest_wait_s) == (EngineState.STOPPED, 0, 1, 3)
