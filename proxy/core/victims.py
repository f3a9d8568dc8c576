"""Finds who makes room for one demand at the least cost: which engines leave, and how far down the ladder each goes.

The search is exact for the few engines that a card holds; it ends after `MOST_STEPS` with the best that it has found,
so that a decision stays cheap on any machine. Host memory counts too: a level-1 sleep that the host has no memory left
for may drop engines that sleep already and are missed less, and else is no way.
"""

from collections.abc import Mapping, Sequence
from math import inf
from operator import gt, sub
from typing import NamedTuple

from proxy.core.offers import NOBODY_LEAVES, Candidate, Demand, Eviction, Rung, Way
from proxy.core.policy import loss, loss_s2

MOST_STEPS = 400

NOISE = 1e-9
"""Costs that differ by less are the same: which of them is taken must not depend on how they were added up."""

_Rank = tuple[float, float, str]


class _Option(NamedTuple):
    """One candidate on one of its ways: what that frees on each of the short devices, and what it loses, in s².

    A named tuple, since hundreds are made in a decision. `all_s2` is the loss and what its leaving delays the demand.
    """

    candidate: Candidate
    way: Way
    freed: tuple[int, ...]
    loss_s2: float
    all_s2: float


class _Best:
    """The cheapest set so far, and the steps that the search may still take."""

    __slots__ = ("cost", "picked", "steps")

    def __init__(self) -> None:
        self.picked: tuple[_Option, ...] | None = None
        self.cost: tuple[float, int] = (inf, 0)
        self.steps = MOST_STEPS


def cheapest(
    demand: Demand,
    candidates: Sequence[Candidate],
    short: Mapping[str, int],
    host_room: int,
    dearest_s2: float = inf,
) -> Eviction | None:
    """Who makes `short` bytes free by device for `demand`, and how; None if all together are too few.

    `short` may be negative: so much is free beyond what is needed. `host_room` is what sleepers may still pin. None,
    too, if those who leave would lose more than `dearest_s2`.
    """
    lacking = {device: missing for device, missing in short.items() if missing > 0}
    if not lacking:
        return NOBODY_LEAVES
    for_all = demand.is_due or demand.is_pressing
    delayed_s2 = 2.0 * demand.waits.delayed(demand.enter_s)
    offers = [
        options
        for one in candidates
        if (for_all or not one.is_resident)
        and not lacking.keys().isdisjoint(one.placing.devices)
        and (options := _options(one, lacking, demand, delayed_s2))
    ]
    if not offers:
        return None
    if len(offers) > 1:
        offers.sort(key=lambda options: _rank(options[0]))
    if offers[0][0].all_s2 > dearest_s2 * (1.0 + NOISE):
        return None
    picked = _picked(offers, tuple(lacking.values()))
    if picked is None or sum([option.loss_s2 for option in picked]) > dearest_s2 * (1.0 + NOISE):
        return None
    return _with_host_memory(picked, candidates, demand, host_room)


def _options(one: Candidate, lacking: Mapping[str, int], demand: Demand, delayed_s2: float) -> list[_Option]:
    """The ways of one candidate that free something, the cheapest first."""
    placed, held = one.placing.devices, one.placing.bytes
    ways = one.ways
    leave_s = ways[0].leave_s if len(ways) == 1 else min([way.leave_s for way in ways])
    delay_s2 = (one.drain_s + leave_s) * delayed_s2
    options = []
    for way in ways:
        if way.keeps_bytes < held:
            freed = tuple([held - way.keeps_bytes if device in placed else 0 for device in lacking])
            lost_s2 = loss_s2(one, way, demand)
            options.append(_Option(one, way, freed, lost_s2, lost_s2 + delay_s2))
    if len(options) > 1:
        options.sort(key=lambda option: option.all_s2)
    return options


def _rank(option: _Option) -> _Rank:
    """Cheap ones first; of equals the one that has been unused longest."""
    return option.all_s2, option.candidate.last_used_at, option.candidate.model


def _most_freed(offers: Sequence[Sequence[_Option]], devices: int) -> list[tuple[int, ...]]:
    """What all candidates from each position on could free, by device."""
    most = [(0,) * devices]
    for options in reversed(offers):
        so_far = most[-1]
        most.append(tuple([so_far[n] + max([option.freed[n] for option in options]) for n in range(devices)]))
    most.reverse()
    return most


def _picked(offers: Sequence[Sequence[_Option]], lacking: tuple[int, ...]) -> tuple[_Option, ...] | None:
    """The cheapest set; where one candidate is all there is, its cheapest way that is enough."""
    if len(offers) == 1:
        return next(((option,) for option in offers[0] if not any(map(gt, lacking, option.freed))), None)
    best = _Best()
    _search(offers, _most_freed(offers, len(lacking)), 0, lacking, (), 0.0, best)
    return best.picked


def _search(
    offers: Sequence[Sequence[_Option]],
    most: Sequence[tuple[int, ...]],
    at: int,
    lacking: tuple[int, ...],
    picked: tuple[_Option, ...],
    cost: float,
    best: _Best,
) -> None:
    """Take or leave each candidate in turn; what cannot get cheaper, or cannot be enough any more, is not followed."""
    if max(lacking) <= 0:
        if (cost, len(picked)) < best.cost:
            best.picked, best.cost = picked, (cost, len(picked))
        return
    # The offers stand in the order of their costs: no later one is cheaper than this.
    if at == len(offers) or best.steps <= 0 or (cost + offers[at][0].all_s2, len(picked) + 1) >= best.cost:
        return
    if any(map(gt, lacking, most[at])):
        return
    best.steps -= 1
    for option in offers[at]:
        left = tuple(map(sub, lacking, option.freed))
        _search(offers, most, at + 1, left, (*picked, option), cost + option.all_s2, best)
    _search(offers, most, at + 1, lacking, picked, cost, best)


# --- the host's memory --------------------------------------------------------------------------------------------


def _with_host_memory(
    picked: Sequence[_Option], candidates: Sequence[Candidate], demand: Demand, host_room: int
) -> Eviction:
    """Level-1 sleeps as far as the host has memory for them, the engines that are missed most first."""
    chosen = {option.candidate.model: option for option in picked}
    host_room += sum(option.candidate.pinned_bytes for option in picked if option.way.rung is Rung.STOP)
    for option in sorted(picked, key=_rank, reverse=True):
        if option.way.pins_bytes <= max(0, host_room):
            host_room -= option.way.pins_bytes
            continue
        softer = _without_pinning(option, demand)
        dropped = _dropped(option, softer, candidates, chosen, demand, host_room)
        if dropped is None:
            chosen[option.candidate.model] = softer
            host_room += softer.candidate.pinned_bytes if softer.way.rung is Rung.STOP else 0
        else:
            chosen |= {one.candidate.model: one for one in dropped}
            host_room += sum(one.candidate.pinned_bytes for one in dropped) - option.way.pins_bytes
    leaving = chosen.values()
    losses = [loss(one.candidate, one.way, demand) for one in leaving]
    drain_s = max([one.candidate.drain_s for one in leaving])
    return Eviction(
        ways={model: option.way for model, option in chosen.items()},
        usual_s2=sum([one.usual_s2 for one in losses]),
        drain_s2=sum([one.drain_s2 for one in losses]),
        all_s2=sum([one.all_s2 for one in losses]),
        hold_s=max([one.hold_s for one in losses]),
        clear_s=drain_s + sum([one.way.leave_s for one in leaving]),
        later_s=max(0.0, max([one.candidate.idle_s for one in leaving]) - drain_s),
    )


def _without_pinning(option: _Option, demand: Demand) -> _Option:
    """The next rung below a level-1 sleep, which frees at least as much."""
    below = [way for way in option.candidate.ways if way.pins_bytes == 0 and way.keeps_bytes <= option.way.keeps_bytes]
    way = below[0]
    lost_s2 = loss_s2(option.candidate, way, demand)
    return _Option(option.candidate, way, option.freed, lost_s2, option.all_s2 - option.loss_s2 + lost_s2)


def _dropped(
    option: _Option,
    softer: _Option,
    candidates: Sequence[Candidate],
    chosen: Mapping[str, _Option],
    demand: Demand,
    host_room: int,
) -> list[_Option] | None:
    """The sleepers that give their host memory up for `option`, if losing them is better than `softer`."""
    sleepers = [
        _Option(one, one.ways[-1], (), lost_s2 := loss_s2(one, one.ways[-1], demand), lost_s2)
        for one in candidates
        if one.is_asleep and one.pinned_bytes and one.model not in chosen and one.model != demand.model
    ]
    price = (softer.all_s2 - option.all_s2, option.candidate.last_used_at, option.candidate.model)
    dropped: list[_Option] = []
    for sleeper in sorted(sleepers, key=_rank):
        if host_room + sum(one.candidate.pinned_bytes for one in dropped) >= option.way.pins_bytes:
            break
        dropped.append(sleeper)
    if host_room + sum(one.candidate.pinned_bytes for one in dropped) < option.way.pins_bytes:
        return None
    paid = (sum(one.all_s2 for one in dropped), *_rank(max(dropped, key=_rank))[1:])
    return dropped if paid < price else None
