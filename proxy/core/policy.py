"""The policy: who is served next, when a swap is worth what it costs, and whom it may cost. Pure arithmetic.

What is made small is the sum of all requests' squared waits, weighted by their priority, in s². A wait twice as long
counts four times: that keeps the mean short and, unlike the mean alone, does not let a few pay for the many.

1. *Pain.* Those who wait for a model are counted as they will stand when they are served: their squared waits at the
   end of the swap, with what drains, sleeps, stops, starts and wakes take here (`costs`; a prior the first time).
2. *Loss.* An engine that leaves is missed. At its recent rate r, away for A seconds, the requests that come meanwhile
   wait r·A³/3 in squares; those who wait at it already wait A longer; the next one after that waits for its return.
3. *Ripe.* A swap costs one trip, however many it serves, so they gather for it: until another moment of waiting costs
   more than it saves. With P the pain, P' its growth a second, K the usual loss of a trip and T the time from one
   trip to the next, (K + P)/T is least where P'·T = K + P. A trip's cost is the usual one: the first, cold start of
   a model that will sleep afterwards has to be paid whenever it is made.
4. *Idle moments.* A busy engine would drain for a trip, and who comes meanwhile would wait for all of it. A moment
   without requests may come by itself: it is waited for until that costs more than the drain would.
5. *Victims.* The set of engines, each on its rung, that makes the room at the least cost: their losses, and the pain of
   a later start.
6. *Order.* Of several demands the one first whose swap takes most waiting away for each second of it (the sum of waits
   at its end, divided by its length): the rule that is best for costs that grow with the wait (van Mieghem, 1995).
7. *Bound.* No oldest ticket waits longer than `max_wait_s` for its swap to begin, but for rule 8. Demands are laid one
   after the other in the order of their deadlines; where one of them would be late if it were left any longer, those up
   to it are due: they go in that order, whatever it costs. Nobody goes before another whom that would make late.
8. *Overload.* Where requests wait at an engine that serves as many as it can, a swap serves nobody sooner who is not
   made to wait elsewhere. It stays until somebody has waited longer than who waits there by four trips; or for twice
   `max_wait_s`, once it has been up for four trips: an overload of one model must not starve the others.
9. *Residence.* An engine that has just become ready stays `min_residence_s`, but for who is due.
10. A decision is not taken back while it is carried out: who drains already costs nothing more, and the room is theirs
   for whom it was made (see `decide`).
"""

import sys
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from math import exp, inf
from operator import attrgetter, itemgetter

from proxy.core.offers import NOTHING, Candidate, Demand, Eviction, Loss, Standing, Way

TRIPS = 4.0
"""Rule 8: how many trips longer somebody must have waited; a fifth of the time at most is then lost to swapping."""

MOST_HELD = 2.0
"""Rule 8: how many times what it may wait somebody must have waited where the other has been up for `TRIPS` trips."""

HORIZON_S = 600.0
"""Rule 2: within this time a next request is counted, as likely as it is."""


def loss_s2(candidate: Candidate, way: Way, demand: Demand) -> float:
    """What is lost in all if `candidate` goes down `way` for `demand` (rule 2)."""
    if candidate.is_draining:
        return 0.0
    rate, waits, return_s = candidate.rate, candidate.waits, way.return_s
    likely = 1.0 - exp(-rate * HORIZON_S)
    if candidate.is_asleep:
        back_s = candidate.back_s
        missed = rate * max(0.0, return_s**3 - back_s**3) / 3.0
        waiting = max(0.0, waits.pain(return_s) - waits.pain(back_s)) if waits.weight else 0.0
        return missed + waiting + likely * max(0.0, return_s**2 - back_s**2)
    away_s = candidate.drain_s + way.leave_s + return_s + demand.enter_s
    waiting = waits.pain(away_s) - waits.squares_s2 if waits.weight else 0.0
    return rate * away_s**3 / 3.0 + waiting + likely * return_s**2


def loss(candidate: Candidate, way: Way, demand: Demand) -> Loss:
    """What is lost if `candidate` goes down `way` for `demand` (rule 2), and what of it on a usual trip."""
    if candidate.is_draining:
        return NOTHING
    all_s2 = loss_s2(candidate, way, demand)
    if candidate.is_asleep:
        missed = candidate.rate * max(0.0, way.return_s**3 - candidate.back_s**3) / 3.0
        return Loss(usual_s2=missed, all_s2=all_s2)
    there_and_back_s = candidate.drain_s + way.leave_s + way.return_s
    away_s, usual_s = there_and_back_s + demand.enter_s, there_and_back_s + demand.usual_s
    max_wait_s = demand.oldest_s + demand.slack_s
    later = (1.0 - exp(-candidate.rate * HORIZON_S)) * way.return_s**2
    return Loss(
        usual_s2=candidate.rate * usual_s**3 / 3.0 + later,
        drain_s2=candidate.rate * (usual_s**3 - (usual_s - candidate.drain_s) ** 3) / 3.0,
        all_s2=all_s2,
        hold_s=_hold_s(candidate, away_s, max_wait_s) if candidate.waits.weight else 0.0,
    )


def _hold_s(candidate: Candidate, away_s: float, max_wait_s: float) -> float:
    """How long somebody must have waited for whom `candidate` goes, where others wait at it (rule 8)."""
    hold_s = candidate.oldest_s + TRIPS * away_s
    return min(hold_s, MOST_HELD * max_wait_s) if candidate.up_s >= TRIPS * away_s else hold_s


def pain(demand: Demand, eviction: Eviction, later_s: float = 0.0) -> float:
    """The squared waits of those who wait for `demand` if the swap begins `later_s` from now, at its end (rule 1)."""
    return demand.waits.pain(eviction.clear_s + demand.enter_s + later_s)


def is_worth(demand: Demand, eviction: Eviction) -> bool:
    """Whether the swap may begin (rules 3, 4, 7 and 8)."""
    if not eviction.ways or demand.is_pressing:
        return True
    if demand.is_modest or demand.oldest_s < eviction.hold_s:
        return False
    if demand.is_due:
        return True
    swap_s, now_s2 = eviction.clear_s + demand.enter_s, pain(demand, eviction)
    growth = 2.0 * demand.waits.delayed(swap_s)
    is_ripe = growth * (demand.gap_s + demand.oldest_s + swap_s) >= eviction.usual_s2 + now_s2
    return is_ripe and pain(demand, eviction, eviction.later_s) - now_s2 >= eviction.drain_s2


def in_order(
    standings: Iterable[Standing], clear_s: float, lanes: int, most: int = sys.maxsize
) -> list[tuple[Standing, bool]]:
    """Rules 6 and 7: who comes first, at most so many, and whether they are due.

    `clear_s` is what it takes to make room, `lanes` how many swaps can go on at the same time.
    """
    by_deadline = sorted(standings, key=_DEADLINE)
    laxities = _laxities(by_deadline, clear_s, lanes)
    due = max((number for number, laxity in enumerate(laxities) if laxity <= 0.0), default=-1) + 1
    first = [(one, True) for one in by_deadline[: min(due, most)]]
    if len(first) == most:
        return first
    least, rest = inf, []
    for one, laxity in zip(by_deadline[due:], laxities[due:], strict=True):
        swap_s = clear_s + one.enter_s
        makes_late = least < swap_s / lanes
        relief = (one.sum_s + swap_s * one.weight) / max(swap_s, 1e-3)
        rest.append((not one.is_pressing, one.is_modest, makes_late, -relief, one.since, one))
        least = min(least, laxity)
    return first + [(key[-1], False) for key in nsmallest(most - due, rest, key=_FIRST)]


_DEADLINE = attrgetter("slack_s", "since")
_FIRST = itemgetter(slice(0, -1))


def _laxities(by_deadline: Sequence[Standing], clear_s: float, lanes: int) -> list[float]:
    """How much later each could still begin if all before it went first, in s."""
    begins_s, laxities = 0.0, []
    for one in by_deadline:
        laxities.append(one.slack_s - begins_s)
        begins_s += (clear_s + one.enter_s) / lanes
    return laxities
