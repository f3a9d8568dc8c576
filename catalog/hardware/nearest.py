"""Decides why a model cannot run on some devices, and what the nearest things are that can. Pure; bytes."""

from collections.abc import Sequence

from catalog.estimate.estimate import Estimate
from catalog.hardware.candidate import Candidate, estimate_on
from catalog.hardware.places import Place, card_for
from catalog.spec import GIB

_SHORTEST = 256
"""A context below this is no answer to anything."""

_STEP = 256
"""Contexts that are suggested are multiples of this."""


def reason_of(candidate: Candidate, told: Estimate | None, best: Sequence[Place], reserved_bytes: int) -> str | None:
    """Why it cannot run here, or None."""
    spec = candidate.spec
    if len(best) < spec.device_count:
        return f"it wants {spec.device_count} devices (device_count), and there are {len(best)}"
    if told is not None and told.max_positions is not None and spec.max_model_len > told.max_positions:
        return f"max_model_len {spec.max_model_len} is above the model's own limit of {told.max_positions} tokens"
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


def options_of(candidate: Candidate, told: Estimate | None, best: Sequence[Place], reserve_bytes: int) -> list[str]:
    """What would run, the nearest first: less context, more devices, another card.

    Where not all that it takes is counted, only what its file declares says anything: less than that is no answer.
    """
    spec, words = candidate.spec, list[str]()
    if told is None or not (told.is_known and told.has_kv):
        if told is not None and told.max_positions is not None and told.max_positions < spec.max_model_len:
            words.append(f"max_model_len: {told.max_positions}")
        needed = max(int(spec.memory_bytes), 0 if told is None or not told.is_known else told.need_bytes)
        card = card_for(needed, reserve_bytes) if all(place.is_gpu for place in best) else None
        return words if card is None else [*words, _card(*card)]
    room = min(place.capacity_bytes for place in best)
    limit = told.max_positions or spec.max_model_len
    shorter = min(told.longest(room), limit)
    if shorter < spec.max_model_len and shorter >= _SHORTEST:
        words.append(f"max_model_len: {shorter if shorter == limit else shorter - shorter % _STEP}")
    elif told.need_bytes <= room < spec.memory_bytes:
        words.append(f"memory_gib: {-(-told.need_bytes * 4 // GIB) / 4:g}")
    if not all(place.is_gpu for place in best):
        least = min(best, key=lambda place: place.total_bytes)
        if spec.memory_bytes <= least.total_bytes:  # by itself Rota takes half of the host's memory
            return [*words, f"device_memory_gib: {_whole_gib(spec.memory_bytes)} in the settings"]
    elif told.need_bytes > room or len(best) < spec.device_count:
        for count in (2, 4, 8):
            more = estimate_on(candidate, best, device_count=count)
            if count > spec.device_count and more is not None and more.need_bytes <= room:
                words.append(f"device_count: {count}, on {count} such devices ({gib(more.need_bytes)} on each)")
                break
        if (card := card_for(max(told.need_bytes, told.startup_peak_bytes), reserve_bytes)) is not None:
            words.append(_card(*card))
    return words


def _whole_gib(size_bytes: int) -> int:
    return -(-size_bytes // GIB)


def _card(name: str, gib: int) -> str:
    return f"one GPU of {gib} GB ({name})"


def gib(size_bytes: float) -> str:
    """In words, two places."""
    return f"{size_bytes / GIB:.2f} GiB"
