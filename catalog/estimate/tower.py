"""From a config.json to the dimensions of a model's vision tower. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.estimate.dimensions import count, with_defaults

_LARGEST_PIXELS = 12_845_056
"""Of an image as Qwen2-VL's and Qwen2.5-VL's processors take it (preprocessor_config.json, max_pixels)."""


@dataclass(frozen=True, slots=True)
class Tower:
    """The vision tower and what joins it to the language model; `merge` squared patches become one of its tokens."""

    hidden: int
    ffn: int
    layers: int
    patch: int
    tokens_per_item: int
    merge: int
    is_gated: bool
    projector_matrices: int
    has_positions: bool

    @property
    def sees_videos(self) -> bool:
        """Whether videos go through it too, as they do where patches are merged (Qwen2-VL and later)."""
        return self.merge > 1


def tower_of(whole: Mapping[str, Any]) -> Tower | None:
    """The tower that `whole`, a config.json, describes, as far as vLLM loads it; None where there is none."""
    vision = whole.get("vision_config")
    if not isinstance(vision, Mapping):
        return None
    told = with_defaults(vision)
    kind, outer = str(told.get("model_type", "")), str(whole.get("model_type", ""))
    layers = count(told, "num_hidden_layers") or count(told, "depth")
    chosen = whole.get("vision_feature_layer", -2 if outer.startswith("llava") else None)
    if isinstance(chosen, int) and chosen < 0:
        layers += chosen + 1  # what lies behind the layer that is used is not loaded (vLLM, `models/llava.py`)
    wide = count(told, "embed_dim") or count(told, "hidden_size")  # of Qwen2-VL the second is the language model's
    patch = max(count(told, "patch_size", 14), 1)
    size, merge = count(told, "image_size", 448), max(count(told, "spatial_merge_size", 1), 1)
    return Tower(
        hidden=wide,
        ffn=count(told, "intermediate_size") or count(told, "mlp_ratio", 4) * wide,
        layers=layers,
        patch=patch,
        # An image of any size, up to the processor's own limit, where patches are merged (Qwen2-VL, arXiv:2409.12191).
        tokens_per_item=_LARGEST_PIXELS // patch**2 if merge > 1 else (size // patch) ** 2,
        merge=merge,
        is_gated=kind in {"pixtral", "qwen2_5_vl"} or outer.startswith("qwen2_5"),
        projector_matrices=1 if outer == "gemma3" else 2,
        has_positions=merge == 1 and kind != "pixtral",
    )
