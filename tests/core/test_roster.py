import pytest

from proxy.core.devices import Amounts
from proxy.core.errors import EngineStartFailed
from proxy.core.queue import Ticket
from proxy.core.roster import Engine, EngineNeeds
from proxy.core.states import EngineState, IllegalMove


def engine() -> Engine:
    return Engine("a", EngineNeeds(Amounts(10, 10, 1, 5), (("card",),), start_timeout_s=5, sleep_levels=(2, 1)))


def test_an_illegal_move_changes_nothing() -> None:
    one = engine()
    with pytest.raises(IllegalMove):
        one.move(EngineState.READY, 3.0, "x")
    assert (one.state, one.since) == (EngineState.STOPPED, 0.0)


def test_it_is_wanted_since_its_oldest_ticket_or_since_a_process_stands_at_the_gate() -> None:
    one = engine()
    assert one.wanted_since() is None
    one.queue.add(Ticket(7, 4.0))
    one.queue.add(Ticket(8, 5.0))
    assert one.wanted_since() == (4.0, 7)
    one.at_gate_since = 3.0
    assert one.wanted_since() == (3.0, 0)


def test_it_cools_only_while_failed_and_only_so_long() -> None:
    one = engine()
    one.cool_until = 10.0
    assert not one.is_cooling(5.0)
    one.move(EngineState.STARTING, 1.0, "x")
    one.move(EngineState.STOPPING, 2.0, "x")
    one.failure = EngineStartFailed("x")
    one.move(EngineState.FAILED, 3.0, "x")
    assert one.is_cooling(9.9)
    assert not one.is_cooling(10.0)
    assert one.view(9.0, (), 0, 0, None).retry_in_s == 1.0


def test_a_level_that_failed_twice_is_closed() -> None:
    one = engine()
    assert one.may_sleep_at(0.0) == [1, 2]
    one.failed_sleeps[1] = 1
    assert one.may_sleep_at(0.0) == [1, 2]
    one.failed_sleeps[1] = 2
    assert one.may_sleep_at(0.0) == [2]
