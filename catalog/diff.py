"""What differs between two catalogs, and for which models that matters to an engine that runs. Pure."""

import hashlib
import json
from dataclasses import dataclass

import msgspec

from catalog.spec import AgentRoute, Catalog, ModelSpec

LAUNCH_KEYS = frozenset(
    {
        "weights",
        "port",
        "memory_gib",
        "kv_cache_gib",
        "max_model_len",
        "max_num_seqs",
        "sleep_levels",
        "devices",
        "device_count",
        "embedder",
        "dtype",
        "chat_template",
        "system_prompt",
        "vllm_args",
        "env",
        "vllm",
    }
)
"""Keys that decide how an engine is launched, and where; all others say how it is treated, and count at once."""


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A model whose entry differs: in which keys, as they are written in YAML, and whether its engine must restart."""

    model: str
    keys: tuple[str, ...]
    is_same_launch: bool


@dataclass(frozen=True, slots=True)
class RouteChange:
    """An agent type that is new, gone, or routed or treated otherwise."""

    agent_type: str
    old: AgentRoute | None
    new: AgentRoute | None


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs, in the order of names. `budget` is whether `memory_budget_gib` does."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ModelChange, ...]
    routes: tuple[RouteChange, ...]
    budget: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.routes or self.budget)


def launch_identity(spec: ModelSpec) -> str:
    """A short name for all of `spec` that decides how its engine is launched: a hash, 16 hex digits."""
    told = {
        field.encode_name: getattr(spec, field.name)
        for field in msgspec.structs.fields(ModelSpec)
        if field.encode_name in LAUNCH_KEYS
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def changes(old: Catalog, new: Catalog) -> Changes:
    """What has changed from `old` to `new`."""
    both = sorted(set(old.models) & set(new.models))
    compared = (change(old.models[name], new.models[name]) for name in both)
    was, now = old.agents.agent_types, new.agents.agent_types
    return Changes(
        added=tuple(sorted(set(new.models) - set(old.models))),
        removed=tuple(sorted(set(old.models) - set(new.models))),
        changed=tuple(one for one in compared if one.keys),
        routes=tuple(
            RouteChange(name, was.get(name), now.get(name))
            for name in sorted(set(was) | set(now))
            if was.get(name) != now.get(name)
        ),
        budget=old.agents.memory_budget_bytes != new.agents.memory_budget_bytes,
    )


def change(old: ModelSpec, new: ModelSpec) -> ModelChange:
    """What differs between two entries of one model."""
    keys = tuple(
        field.encode_name
        for field in msgspec.structs.fields(ModelSpec)
        if getattr(old, field.name) != getattr(new, field.name)
    )
    return ModelChange(new.name, keys, is_same_launch=not LAUNCH_KEYS & set(keys))
