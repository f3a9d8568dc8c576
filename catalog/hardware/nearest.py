"""Decides why a model cannot run on some devices, and what the nearest things are that can. Pure; bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.estimate.division import divisors, why_not_divided
from catalog.estimate.estimate import Estimate
from catalog.hardware.candidate import Candidate, estimate_on
from catalog.hardware.capability import Demand
from catalog.hardware.places import Place, card_for
from catalog.spec import GIB

_SHORTEST = 256
"""A context below this is no answer to anything."""

_STEP = 256
"""Contexts that are suggested are multiples of this."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What a device cannot do that a model asks for."""

    demand: Demand
    place: Place


def reason_of(
    candidate: Candidate, told: Estimate | None, best: Sequence[Place], reserved_bytes: int, lack: Lack | None = None
) -> str | None:
    """Why it cannot run here, or None. `lack` is what too many of its devices cannot do."""
    spec = candidate.spec
    if told is not None and (undivided := why_not_divided(told.architecture, spec.device_count)) is not None:
        return undivided
    if len(best) < spec.device_count:
        return f"it wants {spec.device_count} devices (device_count), and there are {len(best)}"
    if told is not None and told.max_positions is not None and spec.max_model_len > told.max_positions:
        return f"max_model_len {spec.max_model_len} is above the model's own limit of {told.max_positions} tokens"
    if lack is not None and lack.place.capability is not None:
        return lack.demand.reason(lack.place.name, lack.place.capability)
    least = min(best, key=lambda place: place.capacity_bytes)
    room = f"{least.name} has {gib(least.capacity_bytes)} for models"
    if not least.is_gpu or (told is not None and not told.is_known):
        told = None
    if told is not None and told.weights_bytes > least.capacity_bytes:
        return f"its weights alone take {gib(told.weights_bytes)}, and {room}"
    if told is not None and told.need_bytes > least.capacity_bytes:
        rest_bytes = told.fixed_bytes - told.weights_bytes
        parts = f"weights {gib(told.weights_bytes)}, KV {gib(told.kv_one_request_bytes)}, the rest {gib(rest_bytes)}"
        return f"it needs {gib(told.need_bytes)} ({parts}), and {room}"
    if reserved_bytes > least.capacity_bytes:
        enough = "" if told is None or not told.has_kv else f"; {gib(told.need_bytes)} would do"
        return f"its file declares {gib(reserved_bytes)} (memory_gib), and {room}{enough}"
    if told is not None and told.startup_peak_bytes > least.capacity_bytes:
        return f"it takes {gib(told.startup_peak_bytes)} while it starts, and {room}"
    return None


def options_of(
    candidate: Candidate,
    told: Estimate | None,
    best: Sequence[Place],
    reserve_bytes: int,
    lack: Lack | None = None,
) -> list[str]:
    """What would run, the nearest first: fewer of these devices, less context, more devices, another card.

    Where not all that it takes is counted, only what its file declares says anything: less than that is no answer.
    """
    spec, words = candidate.spec, list[str]()
    room = min(place.capacity_bytes for place in best)
    if lack is not None:
        if lack.demand.remedy is None:
            return _card(candidate, told, best, room, reserve_bytes, lack)
        words.append(lack.demand.remedy)
    is_counted = told is not None and told.is_known and told.has_kv
    limit = None if told is None else told.max_positions
    is_wrong_count = len(best) < spec.device_count or _is_undivided(told, spec.device_count)
    if is_wrong_count:
        words += _counts(candidate, told, best, room)
    elif told is not None and is_counted:
        shorter = min(told.longest(room), limit or spec.max_model_len)
        if _SHORTEST <= shorter < spec.max_model_len:
            words.append(f"max_model_len: {shorter if shorter == limit else shorter - shorter % _STEP}")
        elif told.need_bytes <= room < spec.memory_bytes:
            words.append(f"memory_gib: {_quarters(told.need_bytes)}")
    elif limit is not None and limit < spec.max_model_len:
        words.append(f"max_model_len: {limit}")
    if not all(place.is_gpu for place in best):
        least = min(best, key=lambda place: place.total_bytes)
        # By itself Rota takes half of the host's memory.
        if least.capacity_bytes < spec.memory_bytes <= least.total_bytes:
            words.append(f"device_memory_gib: {_whole_gib(spec.memory_bytes)} in the settings")
        return words
    if told is not None and is_counted and told.need_bytes > room and not is_wrong_count:
        words += _counts(candidate, told, best, room, more_than=spec.device_count)
    return [*words, *_card(candidate, told, best, room, reserve_bytes, lack)]


def _is_undivided(told: Estimate | None, count: int) -> bool:
    return told is not None and why_not_divided(told.architecture, count) is not None


def _counts(
    candidate: Candidate, told: Estimate | None, best: Sequence[Place], room: int, more_than: int = 0
) -> list[str]:
    """The nearest number of such devices on which it fits: the most that are there, or else the fewest that do.

    Only numbers that it divides by.
    """
    if told is None or not (told.is_known and told.has_kv):
        return []
    counts = [count for count in divisors(told.architecture) if count > more_than]
    here = [count for count in reversed(counts) if count <= len(best)]
    for count in [*here, *(count for count in counts if count > len(best))]:
        each = estimate_on(candidate, best, device_count=count)
        if each is None or max(each.need_bytes, each.startup_peak_bytes) > room:
            continue
        is_declared_well = each.need_bytes <= candidate.spec.memory_bytes <= room
        amount = "" if is_declared_well else f" and memory_gib: {_quarters(each.need_bytes)}"
        if count > len(best):
            return [f"device_count: {count}{amount}, on {count} such devices ({gib(each.need_bytes)} on each)"]
        return [f"device_count: {count}{amount}"]
    return []


def _card(
    candidate: Candidate,
    told: Estimate | None,
    best: Sequence[Place],
    room: int,
    reserve_bytes: int,
    lack: Lack | None,
) -> list[str]:
    """The smallest single card on which all of it fits and that lacks nothing, if one of these will not do."""
    capability = (0, 0) if lack is None else lack.demand.least
    spec, one = candidate.spec, estimate_on(candidate, best, device_count=1)
    if one is None or told is None or not (one.is_known and one.has_kv):
        # What is declared is of each of its devices: of one device instead of several nothing is known.
        needed = max(int(spec.memory_bytes), one.need_bytes if one is not None and one.is_known else 0)
        card = card_for(needed, reserve_bytes, capability) if spec.device_count == 1 else None
    else:
        needed = max(one.need_bytes, one.startup_peak_bytes)
        card = card_for(needed, reserve_bytes, capability)
    if card is None or (needed <= room and lack is None):
        return []
    return [f"one GPU of {card[1]} GB ({card[0]})" + (", device_count: 1" if spec.device_count > 1 else "")]


def _quarters(size_bytes: int) -> str:
    """GiB, rounded up to a quarter."""
    return f"{-(-size_bytes * 4 // GIB) / 4:g}"


def _whole_gib(size_bytes: int) -> int:
    return -(-size_bytes // GIB)


def gib(size_bytes: float) -> str:
    """In words, two places."""
    return f"{size_bytes / GIB:.2f} GiB"
