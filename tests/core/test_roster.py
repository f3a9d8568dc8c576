from dataclasses import replace
from math import inf

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


def test_of_the_gate_and_the_queue_the_older_one_tells_since_when() -> None:
    one = engine()
    one.at_gate_since = 4.0
    assert one.wanted_since() == (4.0, 0)
    one.queue.add(Ticket(7, 4.0))
    assert one.wanted_since() == (4.0, 7), "at the same moment the ticket counts"
    one.at_gate_since = 5.0
    assert one.wanted_since() == (4.0, 7)


def test_terms_that_say_nothing_leave_a_model_alone() -> None:
    terms = engine().needs.terms
    assert (terms.priority, terms.is_pinned, terms.min_residence_s) == (1.0, False, 0.0)
    assert min(terms.concurrency, terms.max_queue) >= 2**31
    assert (terms.idle_sleep_s, terms.idle_stop_s) == (None, None)


def test_it_runs_on_as_many_devices_as_a_choice_has() -> None:
    assert [replace(engine().needs, choices=choices).device_count for choices in ((("x", "y"),), ())] == [2, 1]


def test_its_drain_takes_as_long_as_its_leases_do() -> None:
    one = engine()
    one.costs.note_service(7.0)
    assert one.drain_s() == 0.0
    one.leases[1] = 3.0
    assert one.drain_s() == 7.0


def test_what_does_not_mend_itself_has_no_time_of_its_next_try() -> None:
    one = engine()
    one.state, one.cool_until = EngineState.FAILED, inf
    assert (one.is_cooling(1e9), one.retry_in_s(1e9)) == (True, None)
    one.cool_until = 10.0
    assert [one.retry_in_s(now) for now in (4.0, 10.0)] == [6.0, None]


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
    assert one.retry_in_s(9.0) == 1.0


def test_a_level_that_failed_twice_is_closed() -> None:
    one = engine()
    assert one.may_sleep_at(0.0) == [1, 2]
    one.failed_sleeps[1] = 1
    assert one.may_sleep_at(0.0) == [1, 2]
    one.failed_sleeps[1] = 2
    assert one.may_sleep_at(0.0) == [2]
