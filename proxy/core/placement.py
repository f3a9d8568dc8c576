"""Plans who goes where and who must make room for it. Pure arithmetic; who leaves, and how far, is decided here only.

1. Demands are served in order. A later one may go ahead only in room that no earlier one is waiting for.
2. All or nothing: a demand gets all of its devices or none. Where it fits without anybody leaving it takes the devices
   on which the least room would be left over (best fit), so that a large free card is not chipped away.
3. Where it fits nowhere, engines leave for it: idle ones before busy ones; among the idle, those awake before those
   asleep, which hold little; among the busy, those already draining, so that a decision is not taken back at every
   event; then the least recently used. Of several devices, the one whose engines come first in this order.
4. No more of them leave than needed: whoever turns out superfluous stays, the most recently used first.
5. Each goes down the ladder only as far as the room needs, on the first of its ways that makes the room: a sleep from
   which it is back sooner than from a cold start (`costs`), else the stop. The most recently used choose first. A
   level-1 sleep needs host memory: sleepers used less recently than the engine are stopped for it, no others; where
   that is not enough it sleeps at level 2.
6. Where all of them together are not enough, nobody leaves, and later demands on those devices wait too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from proxy.core.devices import Placing


class Rung(StrEnum):
    """How far down the ladder an engine goes."""

    LEVEL_1 = "sleep at level 1"
    LEVEL_2 = "sleep at level 2"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that is wanted and does not serve, the bytes it needs on each device, and the devices it may have."""

    model: str
    bytes: int
    choices: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One rung that is open to an engine: what it would still hold on each device, and pin on the host in addition."""

    rung: Rung
    keeps_bytes: int = 0
    pins_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that could make room: where and what it holds, and its ways down, the preferred first, STOP last."""

    model: str
    placing: Placing
    ways: tuple[Way, ...]
    is_idle: bool
    is_draining: bool
    is_asleep: bool
    last_used_at: float
    pinned_bytes: int = 0

    @property
    def rank(self) -> tuple[object, ...]:
        """Rule 3: who comes first leaves first."""
        return (not self.is_idle, self.is_asleep, not self.is_draining, self.last_used_at, self.model)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who makes room and how, and where each demand goes that fits once they have, in order."""

    victims: Mapping[str, Way]
    covered: tuple[tuple[Demand, tuple[str, ...]], ...]


_Chosen = dict[str, Way]


def plan(demands: Sequence[Demand], candidates: Iterable[Candidate], room: Mapping[str, int], host_room: int) -> Plan:
    """Serve `demands` in order from `room` (bytes by device, free or being freed) and from what `candidates` hold."""
    room = dict(room)
    staying = {candidate.model: candidate for candidate in candidates}
    victims: _Chosen = {}
    covered: list[tuple[Demand, tuple[str, ...]]] = []
    waited_for: set[str] = set()
    for demand in demands:
        options = []
        for devices in demand.choices:
            if waited_for.isdisjoint(devices) and demand.model not in victims:
                others = [one for one in staying.values() if one.model != demand.model]
                short = {device: demand.bytes - room[device] for device in devices}
                chosen = choose_victims(others, short, host_room)
                if chosen is not None:
                    options.append((_preference([staying[model] for model in chosen], short), devices, chosen))
        if not options:
            waited_for.update(device for devices in demand.choices for device in devices)
            continue
        _, devices, chosen = min(options, key=lambda option: (option[0], option[1]))
        for model, way in chosen.items():
            leaving = staying.pop(model)
            host_room += _unpinned(leaving, way)
            for device in leaving.placing.devices:
                room[device] += leaving.placing.bytes - way.keeps_bytes
        for device in devices:
            room[device] -= demand.bytes
        staying.pop(demand.model, None)
        victims |= chosen
        covered.append((demand, devices))
    return Plan(victims, tuple(covered))


def choose_victims(candidates: Iterable[Candidate], short: Mapping[str, int], host_room: int) -> _Chosen | None:
    """The engines that make `short` bytes free by device, and how; none where none are needed, None if all are too few.

    `short` may be negative: so much is free beyond what is needed.
    """
    if all(missing <= 0 for missing in short.values()):
        return {}
    ranked = sorted(candidates, key=lambda one: one.rank)
    chosen: dict[str, Candidate] = {}
    for candidate in ranked:
        if _covers(chosen.values(), {}, short):
            break
        if any(short.get(device, 0) > 0 for device in candidate.placing.devices):
            chosen[candidate.model] = candidate
    if not _covers(chosen.values(), {}, short):
        return None
    for candidate in reversed(list(chosen.values())):
        rest = [one for one in chosen.values() if one is not candidate]
        if _covers(rest, {}, short):
            del chosen[candidate.model]
    return _soften(chosen, ranked, short, host_room)


def _soften(
    chosen: Mapping[str, Candidate], ranked: Sequence[Candidate], short: Mapping[str, int], host_room: int
) -> _Chosen:
    """Rule 5: from "all stop" to each one's softest way that still makes the room."""
    ways: _Chosen = {model: one.ways[-1] for model, one in chosen.items()}
    host_room += sum(one.pinned_bytes for one in chosen.values())
    for victim in sorted(chosen.values(), key=lambda one: -one.last_used_at):
        for way in victim.ways[:-1]:
            if not _covers(chosen.values(), {**ways, victim.model: way}, short):
                continue
            # What it pinned counted as given back when it stopped; asleep it keeps that and pins more.
            needed = way.pins_bytes + victim.pinned_bytes
            taken: list[Candidate] = []
            for sleeper in ranked:
                if needed <= host_room + sum(one.pinned_bytes for one in taken):
                    break
                is_older = sleeper.is_asleep and sleeper.last_used_at < victim.last_used_at
                if is_older and sleeper.pinned_bytes and sleeper.model not in ways:
                    taken.append(sleeper)
            host_after = host_room + sum(one.pinned_bytes for one in taken) - needed
            if host_after >= 0 or needed == 0:
                host_room = host_after
                ways[victim.model] = way
                ways.update((one.model, one.ways[-1]) for one in taken)
                break
    return ways


def _covers(chosen: Iterable[Candidate], ways: _Chosen, short: Mapping[str, int]) -> bool:
    """Whether these engines, each on its way (STOP where `ways` has none), make the room."""
    freed = dict.fromkeys(short, 0)
    for one in chosen:
        keeps_bytes = ways[one.model].keeps_bytes if one.model in ways else one.ways[-1].keeps_bytes
        for device in one.placing.devices:
            if device in freed:
                freed[device] += one.placing.bytes - keeps_bytes
    return all(freed[device] >= missing for device, missing in short.items())


def _unpinned(leaving: Candidate, way: Way) -> int:
    return leaving.pinned_bytes if way.rung is Rung.STOP else -way.pins_bytes


def _preference(leaving: Sequence[Candidate], short: Mapping[str, int]) -> tuple[float, ...]:
    """Which devices are taken: those with the fewest busy victims, the longest unused ones, then the best fit."""
    busy = [one for one in leaving if not one.is_idle]
    left_over = -sum(short.values())
    return (
        len(busy),
        sum(not one.is_draining for one in busy),
        max((one.last_used_at for one in leaving), default=-inf),
        left_over,
    )
