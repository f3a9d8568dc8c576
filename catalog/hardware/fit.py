"""Decides what fits where: of each model whether, how far and how often; and if not, why and what would. Pure; bytes.

The bound of every figure is what models together may use of a device (its total less the reserve, as the ledger has
it), but for `alone`: that is what vLLM takes of a device on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.answers import Answering, answering
from catalog.estimate.estimate import Estimate
from catalog.hardware.candidate import Candidate, demands_on_gpu, estimate_on
from catalog.hardware.capability import BUILT_FOR, dotted, unmet
from catalog.hardware.nearest import Lack, gib, options_of, reason_of
from catalog.hardware.places import VLLM_SHARE, Place
from catalog.spec import AgentRoute, ModelSpec


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


def fit(candidate: Candidate, places: Sequence[Place], reserve_bytes: int) -> Fit:
    """Whether `candidate` fits on `places`, alone, and if not, why and what would. Fallbacks are `with_fallbacks`'s."""
    spec, asked = candidate.spec, estimate_on(candidate, places)
    told = asked if asked is not None and asked.is_known else None
    wanted = [place for place in places if not spec.devices or {place.name, *place.ids} & set(spec.devices)]
    notes = (
        list(asked.assumed) if asked is not None else [candidate.why_unknown or "nothing is known of its checkpoint"]
    )
    if asked is not None and told is None:
        notes.append("what its file declares (memory_gib) is all there is to go by")
    elif told is not None and not told.has_kv:
        notes.append("its need is more than what is counted: weights without keys and values")
    if spec.devices and not wanted:
        wanted = list(places)
        notes.append(f"its file names {', '.join(spec.devices)}, which is none of these: all were tried")
    wanted, lack, looked_at = _able(candidate, wanted)
    notes += looked_at
    taken_bytes = 0 if told is None else max(told.need_bytes, told.planned_bytes)
    # Of the host's memory what an engine takes is only roughly known: there what its file declares stands.
    is_gpu = all(place.is_gpu for place in wanted)
    reserved_bytes = max(int(spec.memory_bytes), taken_bytes) if is_gpu else int(spec.memory_bytes)
    if taken_bytes > spec.memory_bytes and is_gpu:
        notes.append(f"its file declares {gib(spec.memory_bytes)}, less than the estimate of {gib(taken_bytes)}")
    if taken_bytes > spec.memory_bytes and not is_gpu:
        rough = "of the host's memory that is only roughly known, and what is declared counts"
        notes.append(f"its file declares {gib(spec.memory_bytes)}, and the estimate is {gib(taken_bytes)}: {rough}")
    best = sorted(wanted, key=lambda place: -place.capacity_bytes)[: spec.device_count]
    room = min(place.capacity_bytes for place in best)
    peak_bytes = told.startup_peak_bytes if told is not None and is_gpu else 0
    on = tuple(place.name for place in wanted if place.capacity_bytes >= max(reserved_bytes, peak_bytes))
    reason = reason_of(candidate, asked, best, reserved_bytes, lack)
    per_token = 0 if told is None or not is_gpu else told.kv_bytes_per_token
    counted = told if told is not None and told.has_kv else None
    alone = None
    if told is not None and per_token:
        alone = max(0, int(VLLM_SHARE * min(place.total_bytes for place in best)) - told.fixed_bytes)
    return Fit(
        spec=spec,
        estimate=told,
        reserved_bytes=reserved_bytes,
        fits=reason is None,
        on=on if reason is None else (),
        max_context=counted.longest(room) if counted is not None else None,
        max_concurrency=counted.concurrency(room) if counted is not None else None,
        alone_bytes=alone,
        alone_tokens=None if alone is None else alone // per_token,
        reason=reason,
        options=() if reason is None else tuple(options_of(candidate, asked, best, reserve_bytes, lack)),
        notes=tuple(notes),
    )


def _able(candidate: Candidate, wanted: list[Place]) -> tuple[list[Place], Lack | None, list[str]]:
    """Those of `wanted` that can what it asks for; if they are too few, all, and what one of them lacks; with notes."""
    demands = demands_on_gpu(candidate)
    lacking = [Lack(one, place) for place in wanted if (one := unmet(demands, place.capability)) is not None]
    notes = [
        f"vLLM's own builds are for compute capability {dotted(BUILT_FOR)} and up, and {place.name} has "
        f"{dotted(place.capability)}: it takes one that is built for it"
        for place in wanted
        if place.capability is not None and place.capability < BUILT_FOR
    ]
    notes += [
        f"the compute capability of '{place.name}' is not known here: whether it can do {one.what} was not looked at"
        for place in wanted
        for one in demands
        if place.capability is None and place.sold_gib is not None
    ]
    able = [place for place in wanted if place not in [one.place for one in lacking]]
    if lacking and len(able) < candidate.spec.device_count:
        return wanted, lacking[0], notes
    return able, None, notes


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
