"""Decides which models fit on the devices at once. Pure, bounded, and the same every time.

A set is maximal where no other model of those that fit alone could be added. Which sets there are is looked for in the
order of names, and placed the largest first; where there are more than can be looked at, the answer says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from catalog.hardware.fit import Fit
from catalog.hardware.places import Place

SETS_LOOKED_AT = 4000
PLACINGS_LOOKED_AT = 5000
SEATS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Together:
    """Models that fit at once: where each is, and what is left of each device."""

    models: tuple[str, ...]
    placed: Mapping[str, tuple[str, ...]]
    free_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Apart:
    """Two models that fit alone and not at once, and by how much: bytes, over all devices."""

    models: tuple[str, str]
    short_bytes: int


@dataclass(frozen=True, slots=True)
class Sets:
    """All maximal sets, the largest first, and all pairs that do not fit; `is_all` is false where the search ended."""

    together: tuple[Together, ...]
    apart: tuple[Apart, ...]
    is_all: bool


def sets_of(fits: Sequence[Fit], places: Sequence[Place]) -> Sets:
    """Which of the models that fit alone fit at once on `places`."""
    able = sorted((one for one in fits if one.fits), key=lambda one: one.spec.name)
    found: list[tuple[int, ...]] = []
    if able and (placed := _placing(able, places)) is not None:
        return Sets((_told(able, placed, places),), (), is_all=True)
    budget = [SETS_LOOKED_AT]
    for chosen in _feasible(able, places, (), budget):
        others = [index for index in range(len(able)) if index not in chosen]
        if not any(_placing([able[i] for i in (*chosen, other)], places) for other in others):
            found.append(chosen)
    together = []
    for chosen in sorted(found, key=lambda one: (-len(one), one)):
        placed = _placing([able[index] for index in chosen], places)
        if placed is not None:
            together.append(_told([able[index] for index in chosen], placed, places))
    pairs = ((one, other) for one, other in combinations(able, 2) if _placing([one, other], places) is None)
    apart = tuple(Apart((one.spec.name, other.spec.name), _short(one, other, places)) for one, other in pairs)
    return Sets(tuple(together), apart, is_all=budget[0] > 0)


def _feasible(
    able: Sequence[Fit], places: Sequence[Place], chosen: tuple[int, ...], budget: list[int]
) -> Iterator[tuple[int, ...]]:
    """Every set that fits, each once: what does not fit cannot be part of one that does."""
    for index in range(chosen[-1] + 1 if chosen else 0, len(able)):
        budget[0] -= 1
        if budget[0] <= 0:
            return
        longer = (*chosen, index)
        if _placing([able[i] for i in longer], places) is not None:
            yield longer
            yield from _feasible(able, places, longer, budget)


def _placing(models: Sequence[Fit], places: Sequence[Place]) -> dict[str, tuple[int, ...]] | None:
    """Where all of `models` go, by name, as indexes of `places`; None where they do not fit, or none was found."""
    order = sorted(models, key=lambda one: (-one.reserved_bytes * one.spec.device_count, one.spec.name))
    budget = [PLACINGS_LOOKED_AT]
    open_to = [frozenset(model.spec.name for model in models if one.name in model.on) for one in places]

    def place(at: int, free: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        if at == len(order):
            return {}
        model = order[at]
        allowed = [
            index for index, one in enumerate(places) if one.name in model.on and free[index] >= model.reserved_bytes
        ]
        tried: set[tuple[tuple[int, tuple[str, ...]], ...]] = set()
        for seats in combinations(allowed, model.spec.device_count):
            alike = tuple(sorted((free[index], tuple(sorted(open_to[index]))) for index in seats))
            if alike in tried:
                continue  # the same room, open to the same models, on another card
            budget[0] -= 1
            if budget[0] <= 0:
                return None
            tried.add(alike)
            left = tuple(room - model.reserved_bytes if i in seats else room for i, room in enumerate(free))
            if (rest := place(at + 1, left)) is not None:
                return {model.spec.name: seats, **rest}
        return None

    return place(0, tuple(one.capacity_bytes for one in places))


def _told(models: Sequence[Fit], placed: Mapping[str, tuple[int, ...]], places: Sequence[Place]) -> Together:
    free = {one.name: one.capacity_bytes for one in places}
    for model in models:
        for index in placed[model.spec.name]:
            free[places[index].name] -= model.reserved_bytes
    names = tuple(model.spec.name for model in models)
    return Together(names, {name: tuple(places[i].name for i in placed[name]) for name in names}, free)


def _short(one: Fit, other: Fit, places: Sequence[Place]) -> int:
    """The least that is missing, over the ways to seat the two that are looked at."""
    seats = range(len(places))
    least = None
    for mine in islice(combinations(seats, one.spec.device_count), SEATS_LOOKED_AT):
        for theirs in islice(combinations(seats, other.spec.device_count), SEATS_LOOKED_AT):
            taken = [one.reserved_bytes * (i in mine) + other.reserved_bytes * (i in theirs) for i in seats]
            missing = sum(max(0, used - places[i].capacity_bytes) for i, used in enumerate(taken))
            least = missing if least is None else min(least, missing)
    return least or 0
