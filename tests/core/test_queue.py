from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given, strategies as st

from proxy.core.queue import NOBODY_WAITS, Queue, Ticket, Waits

PRIORITIES = [0.5, 1.0, 2.0, 4.0]


def queue(*tickets: Ticket) -> Queue:
    made = Queue()
    for ticket in tickets:
        made.add(ticket)
    return made


def test_it_knows_its_tickets_in_the_order_of_their_arrival_and_who_has_waited_longest() -> None:
    it = queue(Ticket(7, 1.0, 4.0), Ticket(3, 2.0), Ticket(5, 2.0, 4.0))
    assert (list(it), len(it), 3 in it, 4 in it) == ([7, 3, 5], 3, True, False)
    assert it.oldest == Ticket(7, 1.0, 4.0)
    assert it.arrived_at(3) == 2.0
    assert it.remove(7) == Ticket(7, 1.0, 4.0)
    assert (list(it), it.oldest) == ([3, 5], Ticket(3, 2.0))
    assert repr(it) == "<Queue [3, 5]>"


def test_a_ticket_waits_for_ever_and_counts_once_unless_it_says_otherwise() -> None:
    assert (Ticket(1, 0.0).priority, Ticket(1, 0.0).expires_at) == (1.0, inf)


def test_what_is_not_there_is_an_error_and_changes_nothing() -> None:
    it = Queue()
    assert it.oldest is None
    with pytest.raises(IndexError, match="nobody waits"):
        it.next(0.0)
    it.add(Ticket(1, 0.0))
    for ask in (it.remove, it.arrived_at):
        with pytest.raises(KeyError):
            ask(2)
    assert (list(it), it.waits(3.0)) == ([1], Waits(1.0, 3.0, 9.0))
    it.remove(1)
    with pytest.raises(KeyError):
        it.remove(1)
    with pytest.raises(IndexError, match="nobody waits"):
        it.next(0.0)


# --- the sums -----------------------------------------------------------------------------------------------------


def test_the_sums_of_waits_are_weighted_by_the_priority() -> None:
    it = queue(Ticket(1, 10.0), Ticket(2, 11.0, priority=2.0))
    assert it.waits(13.0) == Waits(weight=3.0, sum_s=3.0 + 2 * 2.0, squares_s2=9.0 + 2 * 4.0)


def test_pain_and_delay_are_those_sums_some_time_from_now() -> None:
    two_and_three_s = Waits(weight=2.0, sum_s=5.0, squares_s2=13.0)
    assert two_and_three_s.pain(0.0) == 13.0
    assert two_and_three_s.pain(2.0) == 4.0**2 + 5.0**2
    assert two_and_three_s.delayed(2.0) == 4.0 + 5.0


def test_a_queue_that_was_empty_counts_from_new_so_that_its_sums_do_not_drift() -> None:
    it = queue(Ticket(1, 0.1), Ticket(2, 1e9 + 0.3), Ticket(3, 1e9 + 0.7))
    for number in (2, 1, 3):
        it.remove(number)
    assert it.waits(2e9) == NOBODY_WAITS
    it.add(Ticket(4, 3e9))
    assert it.waits(3e9 + 1.0) == Waits(1.0, 1.0, 1.0)


class Naive:
    """The same tickets in a list, summed one by one."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []

    def waits(self, now: float) -> Iterator[float]:
        for power in (0, 1, 2):
            yield sum(one.priority * (now - one.arrived_at) ** power for one in self.tickets)


acts = st.one_of(
    st.tuples(st.just("add"), st.floats(0, 100), st.sampled_from(PRIORITIES)),
    st.tuples(st.just("remove"), st.integers(0, 100), st.none()),
)


@given(st.lists(acts, max_size=40), st.floats(0, 1e6), st.floats(0, 50))
def test_after_any_adds_and_removes_the_sums_are_those_of_the_tickets_one_by_one(
    history: list[tuple[str, float, float | None]], start: float, later: float
) -> None:
    it, naive, now = Queue(), Naive(), start
    for number, (_, amount, priority) in enumerate(history):
        if priority is not None:
            now += amount
            ticket = Ticket(number, now, priority)
            it.add(ticket)
            naive.tickets.append(ticket)
        elif naive.tickets:
            gone = naive.tickets.pop(int(amount) % len(naive.tickets))
            assert it.remove(gone.number) == gone
        at = now + later
        waits = it.waits(at)
        assert list(it) == [one.number for one in naive.tickets]
        assert (waits.weight, waits.sum_s, waits.squares_s2) == pytest.approx(
            tuple(naive.waits(at)), rel=1e-6, abs=1e-4
        )
        assert min(waits.weight, waits.sum_s, waits.squares_s2) >= 0.0
        assert (it.waits(at) == NOBODY_WAITS) == (not naive.tickets)


# --- whose turn it is ---------------------------------------------------------------------------------------------


def test_of_one_priority_who_came_first_is_first() -> None:
    it = queue(Ticket(9, 1.0), Ticket(2, 1.0), Ticket(1, 5.0))
    assert [it.remove(it.next(6.0).number).number for _ in range(3)] == [9, 2, 1]


def test_a_wait_counts_as_often_as_the_priority_says() -> None:
    it = queue(Ticket(1, 0.0), Ticket(2, 10.0, priority=2.0))
    assert it.next(18.9).number == 1
    assert it.next(19.0).number == 1, "1 + 19 is 2 * (1 + 9): of equals the older one"
    assert it.next(19.1).number == 2
    assert queue(Ticket(1, 0.0), Ticket(2, 0.0, priority=2.0)).next(0.0).number == 2, "at once, before anybody waited"


def test_nobody_is_passed_over_for_ever() -> None:
    """One is served each second, as one of priority 4 comes; of those three always wait, the oldest for 3 s."""
    it = queue(
        Ticket(1, -2.0, priority=4.0), Ticket(2, -1.0, priority=4.0), Ticket(0, 0.0), Ticket(3, 0.0, priority=4.0)
    )
    now = 0.0
    for number in range(4, 100):
        now += 1.0
        it.add(Ticket(number, now, priority=4.0))
        if it.remove(it.next(now).number).number == 0:
            break
    assert now == 15.0, "1 + 15 is 4 * (1 + 3)"


@given(
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from(PRIORITIES)), min_size=1, max_size=20),
    st.floats(0, 50),
    st.data(),
)
def test_whose_turn_it_is_is_whose_wait_times_priority_is_the_largest(
    drawn: list[tuple[float, float]], later: float, data: st.DataObject
) -> None:
    it, waiting, now = Queue(), [], 0.0
    for number, (gap_s, priority) in enumerate(drawn):
        now += gap_s
        waiting.append(Ticket(number, now, priority))
        it.add(waiting[-1])
    for gone in data.draw(st.sets(st.sampled_from(waiting), max_size=len(waiting) - 1)):
        waiting.remove(gone)
        it.remove(gone.number)
    now += later
    most = max(one.priority * (1.0 + now - one.arrived_at) for one in waiting)
    chosen = it.next(now)
    assert chosen.priority * (1.0 + now - chosen.arrived_at) == most
    assert chosen.number in it, "asking takes nobody out"
