"""The tickets that wait for one engine: who is next, and how much they suffer. Pure; seconds.

Rule: what is asked at every decision (how many, since when, the sums of waits) costs the same for one ticket and for
ten thousand. The sums are taken from the moment at which the queue was last empty, so that they do not drift.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from math import inf


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request that waits. `priority` is its weight: a request of priority 2 counts for two.

    `expires_at` is when waiting has no sense any more: its client's deadline, or the longest wait there is;
    `keep_alive_s` how long its engine is to stay after it; `is_by_hand` whether a person waits for the engine itself;
    `deadline_at` is when its client gives up. `agent_type` and `key` say whose it is, for people.
    """

    number: int
    arrived_at: float
    priority: float = 1.0
    expires_at: float = inf
    keep_alive_s: float | None = None
    is_by_hand: bool = False
    deadline_at: float = inf
    agent_type: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Waits:
    """The waits of a whole queue at one moment, weighted: their count, their sum (s) and their sum of squares (s²)."""

    weight: float = 0.0
    sum_s: float = 0.0
    squares_s2: float = 0.0

    def pain(self, later_s: float) -> float:
        """The sum of squared waits `later_s` from now, in s²."""
        return self.squares_s2 + later_s * (2.0 * self.sum_s + later_s * self.weight)

    def delayed(self, later_s: float) -> float:
        """The sum of waits `later_s` from now, in s."""
        return self.sum_s + later_s * self.weight


NOBODY_WAITS = Waits()


class Queue:
    """Tickets by number, in the order of their arrival."""

    __slots__ = ("_ages", "_by_hand", "_by_priority", "_deadlines", "_squares", "_tickets", "_weight", "_zero_at")

    def __init__(self) -> None:
        self._tickets: OrderedDict[int, Ticket] = OrderedDict()
        self._by_priority: dict[float, OrderedDict[int, Ticket]] = {}
        self._by_hand = 0
        self._deadlines: list[tuple[float, int]] = []
        self._clear()

    def __repr__(self) -> str:
        return f"<Queue {list(self._tickets)}>"

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, number: int) -> bool:
        return number in self._tickets

    def __iter__(self) -> Iterator[int]:
        return iter(self._tickets)

    @property
    def oldest(self) -> Ticket | None:
        """Who has waited longest."""
        return next(iter(self._tickets.values()), None)

    def first(self, count: int) -> list[Ticket]:
        """So many of those who have waited longest."""
        return list(islice(self._tickets.values(), count))

    @property
    def has_person(self) -> bool:
        """Whether a person waits for the engine itself."""
        return self._by_hand > 0

    @property
    def soonest_deadline(self) -> float:
        """When the first client gives up; infinity if none has said so."""
        while self._deadlines and self._deadlines[0][1] not in self._tickets:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else inf

    def count_from(self, priority: float) -> int:
        """How many wait with at least this priority."""
        return sum(len(same) for own, same in self._by_priority.items() if own >= priority)

    def arrived_at(self, number: int) -> float:
        """When the ticket was drawn. Raises: KeyError."""
        return self._tickets[number].arrived_at

    def add(self, ticket: Ticket) -> None:
        """Let `ticket` wait; it came later than all others."""
        if not self._tickets:
            self._clear()
            self._zero_at = ticket.arrived_at
        self._tickets[ticket.number] = ticket
        self._by_hand += ticket.is_by_hand
        if ticket.deadline_at != inf:
            heappush(self._deadlines, (ticket.deadline_at, ticket.number))
        self._by_priority.setdefault(ticket.priority, OrderedDict())[ticket.number] = ticket
        self._count(ticket, ticket.priority)

    def remove(self, number: int) -> Ticket:
        """Let it go. Raises: KeyError."""
        ticket = self._tickets.pop(number)
        self._by_hand -= ticket.is_by_hand
        same = self._by_priority[ticket.priority]
        del same[number]
        if not same:
            del self._by_priority[ticket.priority]
        self._count(ticket, -ticket.priority)
        return ticket

    def next(self, now: float) -> Ticket:
        """Whose turn it is: the wait counts as often as the priority says, so that who waits passes newer ones by.

        Raises: IndexError if nobody waits.
        """
        heads = [next(iter(same.values())) for same in self._by_priority.values()]
        if not heads:
            raise IndexError("nobody waits")
        return max(heads, key=lambda one: (one.priority * (1.0 + now - one.arrived_at), -one.arrived_at, -one.number))

    def standing(self, now: float) -> tuple[tuple[float, int], float, float] | None:
        """When the oldest ticket came, and its number; the weight of all waits and their sum (s); None if nobody waits.

        It is asked of every queue at every decision.
        """
        for oldest in self._tickets.values():
            sum_s = self._weight * (now - self._zero_at) - self._ages
            return (oldest.arrived_at, oldest.number), self._weight, sum_s if sum_s > 0.0 else 0.0
        return None

    def waits(self, now: float) -> Waits:
        """All waits up to `now`."""
        if not self._tickets:
            return NOBODY_WAITS
        since = now - self._zero_at
        sum_s = self._weight * since - self._ages
        squares_s2 = since * (self._weight * since - 2.0 * self._ages) + self._squares
        return Waits(self._weight, max(0.0, sum_s), max(0.0, squares_s2))

    def _clear(self) -> None:
        self._zero_at, self._weight, self._ages, self._squares = 0.0, 0.0, 0.0, 0.0

    def _count(self, ticket: Ticket, weight: float) -> None:
        age = ticket.arrived_at - self._zero_at
        self._weight += weight
        self._ages += weight * age
        self._squares += weight * age * age
