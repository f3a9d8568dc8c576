from math import inf

import pytest

from proxy.core.board import Board
from proxy.core.devices import Placing
from proxy.core.errors import EngineStartFailed
from proxy.core.ledger import Overdrawn
from proxy.core.limits import Limits
from proxy.core.messages import OpenGate, Reject, SleepEngine, StartEngine, StopEngine, WakeEngine
from proxy.core.offers import Rung, Way
from proxy.core.queue import Ticket
from proxy.core.states import EngineState, IllegalMove
from tests.core.world import GIB, amounts, device, gib, needs

CARDS = {"x": 24.0, "y": 12.0}


def board(**models: float) -> Board:
    wanted = {name: needs(amounts(size, 1, 10), CARDS, levels=(1, 2)) for name, size in models.items()}
    return Board(
        [device(name, size) for name, size in CARDS.items()], wanted, Limits(cool_down_s=10), host_bytes=gib(15)
    )


def test_a_start_reserves_moves_and_commands_together_and_all_or_nothing() -> None:
    it = board(a=20, b=20)
    it.start(it.engines["a"], ("x",), 1.0, "a request")
    assert it.commands == [StartEngine("a")]
    assert it.ledger.reservations("x") == {"a": 20 * GIB}
    assert it.moving_devices() == {"x"}
    with pytest.raises(Overdrawn):
        it.start(it.engines["b"], ("x",), 1.0, "a request")
    assert it.engines["b"].state is EngineState.STOPPED
    assert it.commands == [StartEngine("a")]


def test_a_process_that_waits_at_the_gate_is_let_in_with_what_is_reserved() -> None:
    it = board(a=10)
    it.engines["a"].at_gate_since, it.engines["a"].is_at_gate = 0.0, True
    it.start(it.engines["a"], ("y",), 1.0, "by hand")
    assert it.commands == [OpenGate("a", ("y",), 10 * GIB)]


def test_a_process_that_prepares_holds_nothing_and_is_let_in_when_it_has_come_to_the_gate() -> None:
    for has_come in (False, True):
        it = board(a=10)
        engine = it.engines["a"]
        engine.failure = EngineStartFailed("before")
        it.park(engine, 1.0, "a request")
        assert it.commands == [StartEngine("a")]
        assert (dict(it.ledger.placings), it.moving_devices(), it.changing) == ({}, set(), {"a": engine})
        assert (engine.failure, engine.is_at_gate) == (None, False)
        engine.is_at_gate = has_come
        it.start(engine, ("y",), 2.0, "a request")
        assert it.commands[1:] == ([OpenGate("a", ("y",), 10 * GIB)] if has_come else [])
        assert engine.is_gate_open == has_come
        assert it.moving_devices() == {"y"}


def test_the_end_of_a_process_that_prepared_is_awaited_though_it_holds_nothing() -> None:
    it = board(a=10)
    it.park(it.engines["a"], 1.0, "a request")
    it.stop(it.engines["a"], 2.0, "nobody waits")
    assert it.commands[1:] == [StopEngine("a")]
    assert (it.ledger.placings["a"], it.moving_devices()) == (Placing((), 0), set())


def test_when_the_gate_opened_is_kept_and_nobody_stands_there_any_more() -> None:
    it = board(a=10)
    engine = it.engines["a"]
    it.stand_at_gate(engine, 0.5)
    it.start(engine, ("y",), 1.0, "a request")
    it.open_gate(engine, 4.0)
    assert (engine.gate_opened_at, engine.is_gate_open, engine.at_gate_since, it.wanted) == (4.0, True, None, {})


def test_an_engine_is_wanted_by_a_ticket_a_process_at_the_gate_or_a_start_ahead_and_by_nothing_else() -> None:
    it = board(a=10)
    engine = it.engines["a"]
    it.enqueue(engine, Ticket(1, 1.0))
    assert (it.wanted, it.holder_of) == ({"a": engine}, {1: engine})
    assert it.leave_queue(engine, 1) == Ticket(1, 1.0)
    assert it.wanted == {}
    it.stand_at_gate(engine, 1.0)
    assert it.wanted == {"a": engine}
    it.stand_at_gate(engine, None)
    assert it.wanted == {}
    engine.preload_until = inf
    it.note_demand(engine)
    assert it.wanted == {"a": engine}


def test_a_ticket_expires_once_after_its_moment_and_only_while_it_waits() -> None:
    it = board(a=10)
    engine = it.engines["a"]
    for number, expires_at in ((1, 30.0), (2, 10.0), (3, 20.0), (4, inf), (5, 5.0), (6, 6.0)):
        it.enqueue(engine, Ticket(number, 1.0, expires_at=expires_at))
    it.leave_queue(engine, 5)
    del it.holder_of[it.leave_queue(engine, 6).number]
    assert list(it.expired(10.0)) == []
    assert list(it.expired(25.0)) == [(engine, 2), (engine, 3)]
    assert list(it.expired(25.0)) == []
    assert list(it.expired(1e9)) == [(engine, 1)]


def test_engines_that_change_are_known_until_they_have_changed() -> None:
    it = board(a=10)
    engine = it.engines["a"]
    it.start(engine, ("x",), 1.0, "a request")
    assert it.changing == {"a": engine}
    it.move(engine, EngineState.READY, 2.0, "x")
    assert it.changing == {}
    with pytest.raises(IllegalMove):
        it.move(engine, EngineState.WAKING, 3.0, "x")
    assert (it.changing, engine.state) == ({}, EngineState.READY)


def test_a_failed_sleep_is_counted_by_its_level_and_is_no_failure_of_a_start() -> None:
    it = board(a=10)
    engine = it.engines["a"]
    it.start(engine, ("x",), 1.0, "a request")
    for state in (EngineState.READY, EngineState.DRAINING):
        it.move(engine, state, 2.0, "x")
    it.go_down(engine, Way(Rung.LEVEL_2, keeps_bytes=GIB), 3.0)
    it.escalate(engine, "HTTP 500", 4.0)
    assert (engine.failed_sleeps, engine.escalations, engine.last_escalation) == ({2: 1}, 1, "level 2: HTTP 500")
    assert (engine.failure, it.commands[-1]) == (None, StopEngine("a", at_once=True))


def test_a_sleep_pins_host_memory_and_a_wake_takes_its_room_back_before_it_begins() -> None:
    it = board(a=20)
    engine = it.engines["a"]
    it.start(engine, ("x",), 1.0, "a request")
    for state in (EngineState.READY, EngineState.DRAINING):
        engine.move(state, 2.0, "x")
    it.go_down(engine, Way(Rung.LEVEL_1, keeps_bytes=GIB, pins_bytes=10 * GIB), 3.0)
    assert it.ledger.pinned == {"a": 10 * GIB}
    it.ledger.correct("a", GIB)
    engine.move(EngineState.ASLEEP, 4.0, "x")
    it.wake(engine, 5.0, "a request")
    assert it.ledger.reservations("x") == {"a": 20 * GIB}
    assert it.commands[1:] == [SleepEngine("a", 1), WakeEngine("a", 1)]


def test_a_failed_start_tells_who_waits_when_to_come_back() -> None:
    it = board(a=20)
    engine = it.engines["a"]
    it.start(engine, ("x",), 1.0, "a request")
    engine.queue.add(Ticket(1, 1.0))
    it.holder_of[1] = engine
    it.fail(engine, EngineStartFailed("why\nthe log"), 2.0)
    rejected, stop = it.commands[1:]
    assert isinstance(rejected, Reject)
    assert rejected.error.retry_after_s == 10
    assert (stop, engine.why) == (StopEngine("a", at_once=True), "why")
