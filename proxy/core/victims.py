"""Finds who makes room for one demand at the least cost: which engines leave, and how far down the ladder each goes.

The search is exact for the few engines that a card holds; it ends after `MOST_STEPS` with the best that it has found,
so that a decision stays cheap on any machine. Host memory counts too: a level-1 sleep that the host has no memory left
for may drop engines that sleep already and are missed less, and else is no way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.core.offers import Candidate, Demand, Eviction, Loss, Rung, Way
from proxy.core.policy import loss

MOST_STEPS = 400

_Rank = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class _Option:
    """One candidate on one of its ways: what that frees on each of the short devices, and what it loses."""

    candidate: Candidate
    way: Way
    freed: tuple[int, ...]
    loss: Loss
    all_s2: float


@dataclass(slots=True)
class _Best:
    """The cheapest set so far, and the steps that the search may still take."""

    picked: tuple[_Option, ...] | None = None
    cost: tuple[float, int] = (float("inf"), 0)
    steps: int = MOST_STEPS


def cheapest(
    demand: Demand, candidates: Sequence[Candidate], short: Mapping[str, int], host_room: int
) -> Eviction | None:
    """Who makes `short` bytes free by device for `demand`, and how; None if all together are too few.

    `short` may be negative: so much is free beyond what is needed. `host_room` is what sleepers may still pin.
    """
    lacking = {device: missing for device, missing in short.items() if missing > 0}
    if not lacking:
        return Eviction({})
    useful = [one for one in candidates if demand.is_due or demand.is_pressing or not one.is_resident]
    offers = [options for one in useful if (options := _options(one, lacking, demand))]
    offers.sort(key=lambda options: _rank(options[0]))
    best = _Best()
    most = _most_freed(offers, len(lacking))
    _search(offers, most, tuple(lacking.values()), (), 0.0, best)
    if best.picked is None:
        return None
    return _with_host_memory(best.picked, candidates, demand, host_room)


def _options(one: Candidate, lacking: Mapping[str, int], demand: Demand) -> list[_Option]:
    """The ways of one candidate that free something, the cheapest first."""
    delay_s = one.drain_s + min(way.leave_s for way in one.ways)
    delay_s2 = 2.0 * delay_s * demand.waits.delayed(demand.enter_s)
    options = []
    for way in one.ways:
        freed = tuple(one.placing.bytes - way.keeps_bytes if device in one.placing.devices else 0 for device in lacking)
        if any(amount > 0 for amount in freed):
            lost = loss(one, way, demand)
            options.append(_Option(one, way, freed, lost, lost.all_s2 + delay_s2))
    return sorted(options, key=lambda option: option.all_s2)


def _rank(option: _Option) -> _Rank:
    """Cheap ones first; of equals the one that has been unused longest."""
    return option.all_s2, option.candidate.last_used_at, option.candidate.model


def _most_freed(offers: Sequence[Sequence[_Option]], devices: int) -> list[tuple[int, ...]]:
    """What all candidates from each position on could free, by device."""
    most = [(0,) * devices]
    for options in reversed(offers):
        best = [max(option.freed[device] for option in options) for device in range(devices)]
        most.append(tuple(map(sum, zip(most[-1], best, strict=True))))
    return most[::-1]


def _search(
    offers: Sequence[Sequence[_Option]],
    most: Sequence[tuple[int, ...]],
    lacking: tuple[int, ...],
    picked: tuple[_Option, ...],
    cost: float,
    best: _Best,
) -> None:
    """Take or leave each candidate in turn; what cannot get cheaper, or cannot be enough any more, is not followed."""
    if all(missing <= 0 for missing in lacking):
        if (cost, len(picked)) < best.cost:
            best.picked, best.cost = picked, (cost, len(picked))
        return
    if not offers or best.steps <= 0 or (cost, len(picked) + 1) >= best.cost:
        return
    if any(missing > able for missing, able in zip(lacking, most[0], strict=True)):
        return
    best.steps -= 1
    for option in offers[0]:
        left = tuple(missing - freed for missing, freed in zip(lacking, option.freed, strict=True))
        _search(offers[1:], most[1:], left, (*picked, option), cost + option.all_s2, best)
    _search(offers[1:], most[1:], lacking, picked, cost, best)


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
    return Eviction(
        ways={model: option.way for model, option in chosen.items()},
        usual_s2=sum(one.loss.usual_s2 for one in leaving),
        drain_s2=sum(one.loss.drain_s2 for one in leaving),
        all_s2=sum(one.loss.all_s2 for one in leaving),
        hold_s=max(one.loss.hold_s for one in leaving),
        clear_s=max(one.candidate.drain_s for one in leaving) + sum(one.way.leave_s for one in leaving),
        later_s=max(0.0, max(one.candidate.idle_s for one in leaving) - max(one.candidate.drain_s for one in leaving)),
    )


def _without_pinning(option: _Option, demand: Demand) -> _Option:
    """The next rung below a level-1 sleep, which frees at least as much."""
    below = [way for way in option.candidate.ways if way.pins_bytes == 0 and way.keeps_bytes <= option.way.keeps_bytes]
    way = below[0]
    lost = loss(option.candidate, way, demand)
    return _Option(option.candidate, way, option.freed, lost, option.all_s2 - option.loss.all_s2 + lost.all_s2)


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
        _Option(one, one.ways[-1], (), lost := loss(one, one.ways[-1], demand), lost.all_s2)
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
