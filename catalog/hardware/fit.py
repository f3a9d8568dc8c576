"""Decides what fits where: of each model whether, how far and how often; and if not, why and what would. Pure; bytes.

The bound of every figure is what models together may use of a device (its total less the reserve, as the ledger has
it), but for `alone`: that is what vLLM takes of a device on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.answers import Answering, answering
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.estimate import Estimate, estimate
from catalog.estimate.flags import Flags
from catalog.hardware.places import VLLM_SHARE, Place, card_for
from catalog.spec import GIB, AgentRoute, ModelSpec

_SHORTEST = 256
"""A context below this is no answer to anything."""

_STEP = 256
"""Contexts that are suggested are multiples of this."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to place. `why_unknown` says why there is no checkpoint; then what its file declares is all there is."""

    spec: ModelSpec
    flags: Flags
    checkpoint: Checkpoint | None
    why_unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What became of one model. Bytes are per device.

    `reserved_bytes` is what the ledger will reserve, or what it needs, if that is more. `on` are the devices that it
    fits on. `max_context` is the longest max_model_len of which one request fits, `max_concurrency` how many requests
    of full length fit at once with all that is left as KV cache. `alone_tokens` are the tokens of KV cache that vLLM
    would make of the best device on its own. `instead` is the nearest thing that can, the first of `options`.
    """

    spec: ModelSpec
    estimate: Estimate | None
    reserved_bytes: int
    fits: bool
    on: tuple[str, ...]
    max_context: int | None
    max_concurrency: int | None
    alone_bytes: int | None
    alone_tokens: int | None
    reason: str | None
    options: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def instead(self) -> str | None:
        """The nearest thing that can run."""
        return self.options[0] if self.options else None


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers one agent type here: `by` is None where nobody can."""

    agent_type: str
    model: str
    by: str | None
    why: str


def estimate_on(candidate: Candidate, places: Sequence[Place], **changes: int) -> Estimate | None:
    """The estimate of `candidate` on the largest of `places`, with `changes` to its flags."""
    if candidate.checkpoint is None:
        return None
    largest = max(places, key=lambda place: place.total_bytes)
    flags = replace(candidate.flags, **changes)  # type: ignore[arg-type]  # only flags that are numbers are changed
    return estimate(candidate.checkpoint, flags, largest.total_bytes, is_gpu=largest.is_gpu)


def fit(candidate: Candidate, places: Sequence[Place], reserve_bytes: int) -> Fit:
    """Whether `candidate` fits on `places`, alone, and if not, why and what would. Fallbacks are `with_fallbacks`'s."""
    spec, told = candidate.spec, estimate_on(candidate, places)
    wanted = [place for place in places if not spec.devices or {place.name, *place.ids} & set(spec.devices)]
    notes = list(told.assumed) if told is not None else [candidate.why_unknown or "nothing is known of its checkpoint"]
    if spec.devices and not wanted:
        wanted = list(places)
        notes.append(f"its file names {', '.join(spec.devices)}, which is none of these: all were tried")
    taken_bytes = 0 if told is None else max(told.need_bytes, told.planned_bytes)
    # Of the host's memory what an engine takes is only roughly known: there what its file declares stands.
    is_gpu = all(place.is_gpu for place in wanted)
    reserved_bytes = max(int(spec.memory_bytes), taken_bytes) if is_gpu else int(spec.memory_bytes)
    if taken_bytes > spec.memory_bytes and is_gpu:
        notes.append(f"its file declares {_gib(spec.memory_bytes)}, less than the estimate of {_gib(taken_bytes)}")
    best = sorted(wanted, key=lambda place: -place.capacity_bytes)[: spec.device_count]
    room = min(place.capacity_bytes for place in best)
    on = tuple(place.name for place in wanted if place.capacity_bytes >= reserved_bytes)
    reason = _reason(candidate, told, best, reserved_bytes)
    per_token = 0 if told is None or not is_gpu else told.kv_bytes_per_token
    alone = None
    if told is not None and per_token:
        alone = max(0, int(VLLM_SHARE * min(place.total_bytes for place in best)) - told.fixed_bytes)
    return Fit(
        spec=spec,
        estimate=told,
        reserved_bytes=reserved_bytes,
        fits=reason is None,
        on=on if reason is None else (),
        max_context=None if told is None else told.longest(room),
        max_concurrency=None if told is None else told.concurrency(room),
        alone_bytes=alone,
        alone_tokens=None if alone is None else alone // per_token,
        reason=reason,
        options=() if reason is None else tuple(_options(candidate, told, best, reserve_bytes)),
        notes=tuple(notes),
    )


def with_fallbacks(fits: Sequence[Fit], routes: Mapping[str, AgentRoute]) -> tuple[Fit, ...]:
    """`fits`, with the fallbacks that answer in a model's place put before its other options."""
    can = {one.spec.name for one in fits if one.fits}
    filled: list[Fit] = []
    for one in fits:
        stand_ins: dict[str, list[str]] = {}
        for agent_type, route in sorted(routes.items()):
            if not one.fits and route.model == one.spec.name and route.fallback in can and route.fallback is not None:
                stand_ins.setdefault(route.fallback, []).append(agent_type)
        words = [f"{name} answers for {', '.join(types)}" for name, types in stand_ins.items()]
        filled.append(replace(one, options=(*words, *one.options)))
    return tuple(filled)


def answers(fits: Sequence[Fit], routes: Mapping[str, AgentRoute]) -> tuple[Answer, ...]:
    """Who answers each agent type whose model or fallback is among `fits`."""
    known = {one.spec.name: one.fits for one in fits}
    looked_at = {agent_type: route for agent_type, route in sorted(routes.items()) if route.model in known}
    fallbacks = {route.fallback for route in looked_at.values() if route.fallback is not None}
    why_not = dict.fromkeys(fallbacks - set(known), "was not looked at")
    why_not |= {name: "does not fit" for name, fits_here in known.items() if not fits_here}
    return tuple(Answer(one.agent_type, one.model, one.by, _why(one, why_not)) for one in answering(looked_at, why_not))


def _why(one: Answering, why_not: Mapping[str, str]) -> str:
    """Why who answers does, in words."""
    if one.why_not is None:
        return "fits"
    if one.by is not None:
        return f"{one.model} {one.why_not}; {one.by} answers"
    if one.fallback is None:
        return f"{one.model} {one.why_not}, and it has no fallback: nobody answers"
    return f"{one.model} {one.why_not}, and its fallback {one.fallback} {why_not[one.fallback]}: nobody answers"


def _reason(candidate: Candidate, told: Estimate | None, best: Sequence[Place], reserved_bytes: int) -> str | None:
    """Why it cannot run here, or None."""
    spec = candidate.spec
    if len(best) < spec.device_count:
        return f"it wants {spec.device_count} devices (device_count), and there are {len(best)}"
    if told is not None and told.max_positions is not None and spec.max_model_len > told.max_positions:
        return f"max_model_len {spec.max_model_len} is above the model's own limit of {told.max_positions} tokens"
    least = min(best, key=lambda place: place.capacity_bytes)
    room = f"{least.name} has {_gib(least.capacity_bytes)} for models"
    if not least.is_gpu:
        told = None
    if told is not None and told.weights_bytes > least.capacity_bytes:
        return f"its weights alone take {_gib(told.weights_bytes)}, and {room}"
    if told is not None and told.need_bytes > least.capacity_bytes:
        rest_bytes = told.fixed_bytes - told.weights_bytes
        parts = f"weights {_gib(told.weights_bytes)}, KV {_gib(told.kv_one_request_bytes)}, the rest {_gib(rest_bytes)}"
        return f"it needs {_gib(told.need_bytes)} ({parts}), and {room}"
    if reserved_bytes > least.capacity_bytes:
        enough = "" if told is None else f"; {_gib(told.need_bytes)} would do"
        return f"its file declares {_gib(reserved_bytes)} (memory_gib), and {room}{enough}"
    if told is not None and told.startup_peak_bytes > least.capacity_bytes:
        return f"it takes {_gib(told.startup_peak_bytes)} while it starts, and {room}"
    return None


def _options(candidate: Candidate, told: Estimate | None, best: Sequence[Place], reserve_bytes: int) -> list[str]:
    """What would run, the nearest first: less context, more devices, another card."""
    if told is None:
        card = card_for(int(candidate.spec.memory_bytes), reserve_bytes)
        return [] if card is None else [_card(*card)]
    spec, words = candidate.spec, []
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
                words.append(f"device_count: {count}, on {count} such devices ({_gib(more.need_bytes)} on each)")
                break
        if (card := card_for(max(told.need_bytes, told.startup_peak_bytes), reserve_bytes)) is not None:
            words.append(_card(*card))
    return words


def _whole_gib(size_bytes: int) -> int:
    return -(-size_bytes // GIB)


def _card(name: str, gib: int) -> str:
    return f"one GPU of {gib} GB ({name})"


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:.2f} GiB"
