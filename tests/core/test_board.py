import pytest

from proxy.core.board import Board
from proxy.core.devices import Process, Strangers
from proxy.core.errors import EngineStartFailed, ModelTooLarge
from proxy.core.ledger import Overdrawn
from proxy.core.limits import Limits
from proxy.core.messages import OpenGate, Reject, SleepEngine, StartEngine, StopEngine, WakeEngine
from proxy.core.offers import Rung, Way
from proxy.core.queue import Ticket
from proxy.core.states import EngineState
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
    it.engines["a"].at_gate_since = 0.0
    it.start(it.engines["a"], ("y",), 1.0, "by hand")
    assert it.commands == [OpenGate("a", ("y",), 10 * GIB)]


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


def test_what_fits_nowhere_is_told_of_all_devices_and_of_those_it_may_not_have() -> None:
    it = board(a=25)
    error = it.too_large(it.engines["a"])
    assert isinstance(error, ModelTooLarge)
    assert "a needs 25.00 GiB, and it fits nowhere: x has 24.00 GiB for models, y has 12.00" in error.message
    it = Board([device("x", 24)], {"a": needs(amounts(1), {}, count=2)}, Limits())
    error = it.too_large(it.engines["a"])
    assert error is not None
    assert "a may run on no device of this machine, or on fewer than it needs" in error.message


def test_who_holds_the_memory_is_told_by_device_with_engines_and_strangers() -> None:
    it = board(a=20, b=20)
    it.start(it.engines["a"], ("x",), 1.0, "a request")
    it.ledger.note_strangers({"y": Strangers(gib(3), (Process(7, gib(3), "train.py"),))})
    told = it.holders_of(it.engines["b"])
    assert told == "it needs 20.00 GiB; held on x (24.00 GiB): a 20.00; y (12.00 GiB): pid 7 (train.py) 3.00"
