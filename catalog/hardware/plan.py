"""The hardware plan: what of a catalog runs on some devices, all decisions together, and as JSON. Pure.

Memory is in GiB in the JSON, as in YAML; every other amount is in bytes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.estimate.estimate import Estimate
from catalog.hardware.candidate import Candidate
from catalog.hardware.capability import dotted
from catalog.hardware.fit import Answer, Fit, answers, fit, with_fallbacks
from catalog.hardware.places import VLLM_SHARE, Place
from catalog.hardware.together import Sets, sets_of
from catalog.spec import GIB, AgentRoute


@dataclass(frozen=True, slots=True)
class HardwarePlan:
    """What runs on `places`: each model, which of them at once, and who answers whom."""

    places: tuple[Place, ...]
    reserve_bytes: int
    fits: tuple[Fit, ...]
    sets: Sets
    answers: tuple[Answer, ...]

    @property
    def is_served(self) -> bool:
        """Whether every model runs, or another answers for every agent type that is routed to it."""
        routed = {one.model for one in self.answers}
        missing = {one.model for one in self.answers if one.by is None}
        return all(one.fits or (one.spec.name in routed and one.spec.name not in missing) for one in self.fits)


def plan_of(
    candidates: Sequence[Candidate],
    places: Sequence[Place],
    routes: Mapping[str, AgentRoute],
    reserve_bytes: int,
    shown: Collection[str] | None = None,
) -> HardwarePlan:
    """The plan for `candidates` on `places`; only those of `shown` are in it (all if None), others may stand in."""
    fits = with_fallbacks([fit(candidate, places, reserve_bytes) for candidate in candidates], routes)
    told = tuple(one for one in fits if shown is None or one.spec.name in shown)
    names = {one.spec.name for one in told}
    answered = tuple(one for one in answers(fits, routes) if one.model in names)
    return HardwarePlan(tuple(places), reserve_bytes, told, sets_of(told, places), answered)


def as_json(plan: HardwarePlan) -> dict[str, Any]:
    """`plan` as it is printed with --json."""
    return {
        "devices": [_device(place, plan.reserve_bytes) for place in plan.places],
        "models": [_model(one) for one in plan.fits],
        "sets": [
            {
                "models": list(one.models),
                "on": {name: list(devices) for name, devices in one.placed.items()},
                "free_gib": {name: _gib(free) for name, free in one.free_bytes.items()},
            }
            for one in plan.sets.together
        ],
        "sets_are_all": plan.sets.is_all,
        "apart": [{"models": list(one.models), "short_gib": _gib(one.short_bytes)} for one in plan.sets.apart],
        "agents": [
            {"agent_type": one.agent_type, "model": one.model, "answered_by": one.by, "why": one.why}
            for one in plan.answers
        ],
        "is_served": plan.is_served,
    }


def _device(place: Place, reserve_bytes: int) -> dict[str, Any]:
    return {
        "name": place.name,
        "sold_gib": place.sold_gib,
        "total_gib": _gib(place.total_bytes),
        "total_is_reckoned": place.is_reckoned,
        "for_models_gib": _gib(place.capacity_bytes),
        "reserve_gib": _gib(reserve_bytes),
        "vllm_share": VLLM_SHARE,
        "is_gpu": place.is_gpu,
        "compute_capability": None if place.capability is None else dotted(place.capability),
    }


def _model(one: Fit) -> dict[str, Any]:
    told = one.estimate
    return {
        "model": one.spec.name,
        "need_gib": None if told is None else _gib(told.need_bytes),
        "declared_gib": _gib(one.spec.memory_bytes),
        "reserved_gib": _gib(one.reserved_bytes),
        "fits": one.fits,
        "on": list(one.on),
        "device_count": one.spec.device_count,
        "max_model_len": one.spec.max_model_len,
        "max_num_seqs": one.spec.max_num_seqs,
        "max_context": one.max_context,
        "max_concurrency": one.max_concurrency,
        "alone_kv_gib": None if one.alone_bytes is None else _gib(one.alone_bytes),
        "alone_kv_tokens": one.alone_tokens,
        "reason": one.reason,
        "instead": one.instead,
        "options": list(one.options),
        "notes": list(one.notes),
        "estimate": None if told is None else _estimate(told),
    }


def _estimate(told: Estimate) -> dict[str, Any]:
    return {
        "architecture": told.architecture.name,
        "origin": told.origin,
        "weights_gib": _gib(told.weights_bytes),
        "kv_bytes_per_token": told.kv_bytes_per_token,
        "kv_one_request_gib": _gib(told.kv_one_request_bytes),
        "kv_asked_gib": _gib(told.kv_asked_bytes),
        "activation_gib": _gib(told.activation_bytes),
        "graphs_gib": _gib(told.graphs_bytes),
        "context_gib": _gib(told.context_bytes),
        "startup_peak_gib": _gib(told.startup_peak_bytes),
        "longest_context_of_the_model": told.max_positions,
        "parts": [
            {"part": piece.name, "gib": _gib(piece.bytes), "formula": piece.words, "source": piece.source}
            for piece in told.pieces
        ],
    }


def _gib(size_bytes: float) -> float:
    return round(size_bytes / GIB, 2)
