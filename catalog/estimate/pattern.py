"""Decides of what kind each layer is, where a config.json says it by a list, a period or its class's default. Pure.

Source: Transformers 5.19, `models/*/configuration_*.py` (each class's layer_types); for configs of their authors' own
code vLLM 0.32, `models/kimi_linear.py`, `models/minimax_text_01.py`, `models/nemotron_h.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from catalog.estimate.dimensions import count

RECURRENT = frozenset({"linear_attention", "mamba", "mamba2", "recurrent", "conv", "ssm", "mlp", "moe"})
"""Kinds of layers that keep no keys and values; the last two are layers of their own in Nemotron-H."""

_BOTH = frozenset({"hybrid"})
"""Kinds of layers that have attention and a state."""

_ALL_RECURRENT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"})
_EVERY_FOURTH = ("qwen3_next", "qwen3_5", "olmo_hybrid")
"""model_types, or their beginnings, whose every fourth layer has attention, where nothing says otherwise."""

_LETTERS = {"M": "mamba", "*": "full_attention", "-": "mlp", "E": "moe"}
"""Of Nemotron-H's hybrid_override_pattern."""


def kinds_of(text: Mapping[str, Any], kind: str, layers: int) -> tuple[str | None, ...]:
    """The kind of each layer, as layer_types spells them; None where a layer's kind is not said."""
    for name in ("layer_types", "layers_block_type", "block_types"):
        if isinstance(listed := text.get(name), list) and listed:
            is_repeated = name == "block_types"
            found = [str(listed[i % len(listed)]) if is_repeated or i < len(listed) else None for i in range(layers)]
            return tuple("full_attention" if one == "attention" and not is_repeated else one for one in found)
    if (says := _rule(text, kind)) is None:
        return (None,) * layers
    return tuple(says(index) for index in range(layers))


def is_regular(kinds: tuple[str | None, ...]) -> bool:
    """Whether every layer has attention and nothing that is in its place, so that its matrices can be counted."""
    return not any(one in RECURRENT | _BOTH for one in kinds)


def _rule(text: Mapping[str, Any], kind: str) -> Callable[[int], str] | None:
    """What says the kind of a layer by its index; None where every layer is as its class has it."""
    if kind in _ALL_RECURRENT:
        return lambda _: "mamba"
    if kind == "falcon_h1":
        return lambda _: "hybrid"
    if kind == "jamba" or "attn_layer_period" in text:
        period, offset = max(count(text, "attn_layer_period", 8), 1), count(text, "attn_layer_offset", 4)
        return lambda index: "full_attention" if index % period == offset % period else "mamba"
    if kind.startswith(_EVERY_FOURTH) or "full_attention_interval" in text:
        interval = max(count(text, "full_attention_interval", 4), 1)
        return lambda index: "linear_attention" if (index + 1) % interval else "full_attention"
    if isinstance(pattern := text.get("hybrid_override_pattern"), str):
        return lambda index: _LETTERS.get(pattern[index : index + 1], "mamba")
    if isinstance(flags := text.get("attn_type_list"), list):
        return lambda index: "full_attention" if flags[index : index + 1] == [1] else "linear_attention"
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping) and isinstance(full := linear.get("full_attn_layers"), list):
        return lambda index: "full_attention" if index + 1 in full else "linear_attention"  # counted from 1
    if isinstance(both := text.get("hybrid_layer_ids"), list):
        return lambda index: "hybrid" if index in both else "mamba"
    for name, other in (("attn_layer_indices", "mamba"), ("full_attn_idxs", "conv")):
        if isinstance(listed := text.get(name), list):
            return _among(listed, other)
    return None


def _among(indexes: list[Any], other: str) -> Callable[[int], str]:
    return lambda index: "full_attention" if index in indexes else other
