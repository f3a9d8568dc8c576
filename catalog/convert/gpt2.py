"""Decides how a GPT-2 checkpoint is changed so that vLLM's GPT-2 computes the same, and what else vLLM would refuse.

vLLM 0.32 refuses three flags of the configuration that change attention, or ignores them (`models/gpt2.py`: it scales
by head_dim**-0.5 and nothing else). Attention scores are linear in the query, so each factor can be multiplied into the
query's part of `c_attn`, weight and bias, once: the model stays the same.

Rule: pure; tensors are multiplied in float32 and cast by whoever writes them.
"""

import math
import re
from typing import Any

# transformer.h.3.attn.c_attn.weight, or h.3.attn.c_attn.weight where only the trunk was saved.
_C_ATTN = re.compile(r"(?:^|\.)h\.(\d+)\.attn\.c_attn\.(?:weight|bias)$")
_MASKS = re.compile(r"(?:^|\.)h\.\d+\.attn\.(?:bias|masked_bias)$")


def reasons(config: dict[str, Any]) -> list[str]:
    """Why vLLM does not load this GPT-2, or would compute something else with it; none where it is plain."""
    if config.get("model_type") != "gpt2":
        return []
    found = []
    if config.get("scale_attn_by_inverse_layer_idx"):
        found.append("it divides attention by the number of the layer, which vLLM's GPT-2 refuses")
    if config.get("reorder_and_upcast_attn"):
        found.append("it asks for attention in another order and precision, which vLLM's GPT-2 refuses")
    if not config.get("scale_attn_weights", True):
        found.append("it does not divide attention by the root of the head size, as vLLM's GPT-2 always does")
    return found


def folded_config(config: dict[str, Any]) -> dict[str, Any]:
    """`config` for the folded weights. The order and precision of attention are vLLM's own: nothing to fold there."""
    plain = {"scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False, "scale_attn_weights": True}
    return {**config, **{key: value for key, value in plain.items() if key in config}}


def is_mask(name: str) -> bool:
    """Whether this is the causal mask that old versions of Transformers saved with the weights."""
    return _MASKS.search(name) is not None


def query_factor(name: str, config: dict[str, Any]) -> float | None:
    """What the query's part of tensor `name` is multiplied by; None where the tensor is no `c_attn` or nothing changes.

    Source: Transformers, `models/gpt2/modeling_gpt2.py`, GPT2Attention: scaling = head_dim**-0.5, or 1 without
    `scale_attn_weights`, divided by layer + 1 with `scale_attn_by_inverse_layer_idx`.
    """
    found = _C_ATTN.search(name)
    if found is None:
        return None
    factor = 1.0
    if config.get("scale_attn_by_inverse_layer_idx"):
        factor /= int(found[1]) + 1
    if not config.get("scale_attn_weights", True):
        factor *= math.sqrt(config["n_embd"] // config["n_head"])
    return None if factor == 1.0 else factor


def fold(name: str, tensor: Any, config: dict[str, Any]) -> Any:
    """The torch tensor `name` with the factor multiplied in, in float32, or as it is.

    c_attn's weight is [in, 3 * out] (Conv1D: columns are outputs), its bias [3 * out]; the query comes first.
    """
    factor = query_factor(name, config)
    if factor is None:
        return tensor
    folded = tensor.float().clone()
    folded[..., : tensor.shape[-1] // 3] *= factor
    return folded
