from math import inf

import pytest

from proxy.core.errors import EngineStartFailed, WaitedTooLong
from proxy.core.limits import RETRY_AFTER_WAIT_S
from proxy.core.messages import CloseGate, Command, Reject, StopEngine
from proxy.core.queue import Ticket
from proxy.core.states import EngineState
from proxy.core.timeouts import end_what_took_too_long
from tests.core.boards import LIMITS, Stage, ladder

START_TIMEOUT_S = 60.0


def after(stage: Stage, now: float) -> list[Command]:
    stage.board.commands.clear()
    end_what_took_too_long(stage.board, now)
    return list(stage.board.commands)


def cooling(stage: Stage, model: str, until: float) -> None:
    """Its start failed, and its memory has been seen free."""
    stage.board.fail(stage.starting(model), EngineStartFailed("no such file"), 0.0)
    stage.board.ledger.release(model)
    stage.board.move(stage[model], EngineState.FAILED, 0.0, "x")
    stage[model].cool_until = until


# --- waits --------------------------------------------------------------------------------------------------------


def test_a_ticket_that_has_waited_as_long_as_it_may_is_told_how_long_and_where_its_engine_stands() -> None:
    stage = Stage({"a": ladder(10)})
    stage.wait("a", 1, since=5.0, expires_at=25.0)
    stage.wait("a", 2, since=6.0, expires_at=36.0)
    assert after(stage, 25.0) == [], "not in the moment itself"
    [command] = after(stage, 25.5)
    assert isinstance(command, Reject)
    assert isinstance(command.error, WaitedTooLong)
    assert command.ticket == 1
    assert "waited 20 s for a, which is stopped: it needs 10.00 GiB; held on" in command.error.message
    assert command.error.retry_after_s == RETRY_AFTER_WAIT_S
    assert list(stage["a"].queue) == [2]
    assert after(stage, 35.0) == [], "each is told once"


def test_an_engine_that_is_on_its_way_is_not_excused_with_who_holds_the_memory() -> None:
    stage = Stage({"a": ladder(10)})
    stage.ready("a", now=5.0)
    stage.wait("a", 1, since=5.0, expires_at=25.0)
    [command] = after(stage, 26.0)
    assert isinstance(command, Reject)
    assert command.error.message.endswith("which is ready")


def test_tickets_end_in_the_order_of_their_deadlines_and_not_of_their_arrival() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(10)})
    for model, number, expires_at in (("a", 1, 90.0), ("b", 2, 20.0), ("a", 3, 10.0), ("b", 4, inf)):
        stage.wait(model, number, since=0.0, expires_at=expires_at)
    ended = [command.ticket for command in after(stage, 50.0) if isinstance(command, Reject)]
    assert ended == [3, 2]
    assert [command.ticket for command in after(stage, 1e9) if isinstance(command, Reject)] == [1]
    assert list(stage["b"].queue) == [4]


def test_a_ticket_that_has_its_lease_or_is_over_does_not_end_by_waiting() -> None:
    stage = Stage({"a": ladder(10)})
    for number in (1, 2):
        stage.board.enqueue(stage["a"], Ticket(number, 0.0, expires_at=10.0))
        stage.board.leave_queue(stage["a"], number)
    stage["a"].leases[1] = 5.0
    del stage.board.holder_of[2]
    assert after(stage, 20.0) == []


def test_a_process_that_waits_at_the_gate_as_long_as_a_request_may_is_sent_away() -> None:
    stage = Stage({"a": ladder(10)})
    stage.board.stand_at_gate(stage["a"], 5.0)
    assert after(stage, 5.0 + LIMITS.queue_timeout_s) == []
    [command] = after(stage, 6.0 + LIMITS.queue_timeout_s)
    assert isinstance(command, CloseGate)
    assert isinstance(command.error, WaitedTooLong)
    assert "the start waited 101 s, which is stopped: it needs" in command.error.message
    assert (stage["a"].at_gate_since, stage.board.wanted) == (None, {})


# --- starts, sleeps and wakes -------------------------------------------------------------------------------------


def test_a_start_that_takes_too_long_has_failed() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.starting("a", now=5.0)
    assert after(stage, 5.0 + START_TIMEOUT_S) == []
    assert after(stage, 5.1 + START_TIMEOUT_S) == [StopEngine("a", at_once=True)]
    assert engine.failure is not None
    assert "was not ready 60 s after its start" in engine.failure.message
    assert engine.failures == 1


def test_one_that_does_not_come_to_the_gate_in_that_time_has_failed_too() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.parked("a", now=5.0)
    stage.wait("a", 1, since=5.0)
    assert after(stage, 5.0 + START_TIMEOUT_S) == []
    [rejected, stop] = after(stage, 5.1 + START_TIMEOUT_S)
    assert isinstance(rejected, Reject)
    assert "did not come to the gate within 60 s" in rejected.error.message
    assert stop == StopEngine("a", at_once=True)
    assert engine.failure is not None


def test_one_that_stands_at_the_gate_may_wait_there_as_long_as_somebody_waits_for_it() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.parked("a", now=0.0, at_gate=True)
    stage.wait("a", 1, since=0.0)
    assert after(stage, 10 * START_TIMEOUT_S) == []
    stage.board.leave_queue(engine, 1)
    assert after(stage, 10 * START_TIMEOUT_S) == [StopEngine("a")]
    assert (engine.failure, engine.why) == (None, "nobody waits for it any longer")


def test_one_that_prepares_for_nobody_is_ended_before_it_comes_to_the_gate() -> None:
    stage = Stage({"a": ladder(10)})
    stage.parked("a", now=0.0)
    assert after(stage, 1.0) == [StopEngine("a")]


@pytest.mark.parametrize("is_wake", [False, True])
def test_a_sleep_or_a_wake_that_takes_too_long_ends_the_process_and_is_counted(is_wake: bool) -> None:
    stage = Stage({"a": ladder(10)})
    if is_wake:
        engine = stage.asleep("a", level=2)
        stage.board.wake(engine, 5.0, "x")
    else:
        engine = stage.falling_asleep("a", now=5.0, level=2)
    assert after(stage, 5.0 + LIMITS.sleep_timeout_s) == []
    assert after(stage, 5.1 + LIMITS.sleep_timeout_s) == [StopEngine("a", at_once=True)]
    assert (engine.failed_sleeps, engine.failure) == ({2: 1}, None)
    assert engine.last_escalation == f"level 2: still {'waking' if is_wake else 'falling_asleep'} after 30 s"


def test_what_lasts_is_not_ended_by_time() -> None:
    stage = Stage({"ready": ladder(4), "draining": ladder(4), "asleep": ladder(4), "stopping": ladder(4)})
    stage.ready("ready")
    stage.draining("draining", leases=[1])
    stage.asleep("asleep")
    stage.stopping("stopping", "y")
    assert after(stage, 1e9) == []


# --- cool-downs ---------------------------------------------------------------------------------------------------


def test_who_asks_for_one_that_cools_down_is_told_why_and_when_to_come_back() -> None:
    stage = Stage({"a": ladder(10)})
    cooling(stage, "a", until=10.0)
    stage.wait("a", 1, since=4.0)
    [command] = after(stage, 4.0)
    assert isinstance(command, Reject)
    assert (command.error.message, command.error.retry_after_s) == ("no such file", 6.0)
    stage.wait("a", 2, since=10.0)
    assert after(stage, 10.0) == [], "it has cooled down"


def test_one_that_does_not_cool_down_by_itself_is_not_started_ahead_any_more() -> None:
    for until, stays in ((10.0, True), (inf, False)):
        stage = Stage({"a": ladder(10)})
        stage["a"].preload_until = inf
        stage.board.note_demand(stage["a"])
        cooling(stage, "a", until=until)
        assert after(stage, 4.0) == []
        assert (stage["a"].is_preload, "a" in stage.board.wanted) == (stays, stays)


def test_who_stands_at_the_gate_of_one_that_cools_down_is_not_sent_away() -> None:
    stage = Stage({"a": ladder(10)})
    cooling(stage, "a", until=inf)
    stage.board.stand_at_gate(stage["a"], 3.0)
    assert after(stage, 4.0) == []
    assert "a" in stage.board.wanted


def test_a_client_that_was_refused_is_not_expected_back_at_an_engine_that_cannot_start() -> None:
    """Its failure lasts: what was noted for the client must not stand for another one, later."""
    stage = Stage({"a": ladder(10)})
    stage.board.expect_back(stage["a"], 1.0, 30.0)
    assert stage["a"].refused_at == 1.0
    stage["a"].failure, stage["a"].cool_until = EngineStartFailed("no weights"), inf
    stage.board.move(stage["a"], EngineState.STARTING, 2.0, "")
    stage.board.move(stage["a"], EngineState.STOPPING, 2.0, "")
    stage.board.move(stage["a"], EngineState.FAILED, 2.0, "")
    end_what_took_too_long(stage.board, 3.0)
    assert (stage["a"].refused_at, "a" in stage.board.wanted) == (None, False)
