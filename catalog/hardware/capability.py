"""Decides by its compute capability whether a GPU can run a model's quantisation and dtype. Pure.

Cards: NVIDIA, "CUDA GPU Compute Capability". Quantisations: vLLM 0.32, `model_executor/layers/quantization/*`,
get_min_capability (of compressed-tensors, its schemes'); bfloat16: `platforms/cuda.py` check_if_supports_dtype.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Capability = tuple[int, int]

BUILT_FOR: Capability = (7, 5)
"""vLLM's own builds run from here on (vLLM, docs/getting_started/installation/gpu.cuda.inc.md, requirements)."""

_CARDS: tuple[tuple[str, Capability], ...] = (
    (r"P100", (6, 0)),
    (r"P40|P4|GTX 10[5-8]0|TITAN XP?|P[1-6]000", (6, 1)),
    (r"V100S?|TITAN V|GV100", (7, 0)),
    (r"T4G?|RTX 20[5-8]0|20[678]0|TITAN RTX|GTX 16[356]0|QUADRO RTX [34568]000", (7, 5)),
    (r"A100|A30", (8, 0)),
    (r"A40|A10G?|A16|A2|(RTX )?30[5-9]0|(RTX )?A[2456]000|(RTX )?A[24]500", (8, 6)),
    (r"L4|L40S?|(RTX )?40[5-9]0|RTX [24456]000 ADA|RTX 4500 ADA", (8, 9)),
    (r"H100|H200|H800|H20|GH200", (9, 0)),
    (r"B200|GB200", (10, 0)),
    (r"B300|GB300", (10, 3)),
    (r"(RTX )?50[5-9]0|RTX PRO [2456][05]00 BLACKWELL|RTX PRO 6000", (12, 0)),
    (r"GB10", (12, 1)),
)
"""By a part of a card's name, without its maker's and its family's; whole words."""

_METHODS: Mapping[str, Capability] = {
    "awq": (7, 5),
    "gptq": (6, 0),
    "auto-round": (6, 0),
    "inc": (6, 0),
    "fp8": (7, 5),
    "fp8-per-tensor": (7, 5),
    "fp8-per-channel": (7, 5),
    "fp8-per-block": (7, 5),
    "mxfp8": (7, 5),
    "fbgemm-fp8": (8, 0),
    "modelopt": (8, 0),
    "modelopt-fp4": (7, 5),
    "nvfp4": (7, 5),
    "compressed-tensors": (7, 5),
    "mxfp4": (8, 0),
    "gpt-oss-mxfp4": (8, 0),
    "experts-int8": (8, 0),
    "quark": (7, 0),
    "torchao": (7, 5),
}
_NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""model_types that vLLM refuses in float16 (vLLM 0.32, `config/model.py` _FLOAT16_NOT_SUPPORTED_MODELS)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a GPU must be able to do. `remedy` is a key of the model's file that makes it not so, where there is one."""

    what: str
    least: Capability
    remedy: str | None = None

    def reason(self, name: str, has: Capability) -> str:
        """Why the GPU `name` will not do."""
        return f"{self.what} needs a GPU of compute capability {dotted(self.least)}, and {name} has {dotted(has)}"


def capability_of(card: str) -> Capability | None:
    """The compute capability of a card by its name, as it is sold or as nvidia-smi has it; None for one not known."""
    words = " ".join(re.sub(r"(?i)NVIDIA|GEFORCE|TESLA|-", " ", card).upper().split())
    words = re.sub(r"\b(RTX|GTX)(?=\d)", r"\1 ", words)
    words = re.sub(r"(?<=\d)(TI|SUPER)\b", r" \1", words)
    found = {capability for names, capability in _CARDS if re.search(rf"(?<!\S)(?:{names})(?!\S)", words)}
    return found.pop() if len(found) == 1 else None


def demands_of(
    dtype: str, method: str | None, quantisation: Mapping[str, Any] | None = None, model_type: str = ""
) -> tuple[Demand, ...]:
    """What an engine asks of a GPU: `dtype` and `method` are its flags, `quantisation` is its checkpoint's own config.

    With `auto` vLLM takes float16 where a GPU has no bfloat16.
    """
    demands: list[Demand] = []
    own = quantisation or {}
    name = str(own.get("quant_method", own.get("quant_algo", "")) or method or "").lower().replace("_", "-")
    if (least := _METHODS.get(name)) is not None:
        demands.append(Demand(name, least))
    if dtype == "bfloat16":
        demands.append(Demand("bfloat16", (8, 0), None if model_type in _NO_FLOAT16 else "dtype: float16"))
    return tuple(demands)


def unmet(demands: Sequence[Demand], has: Capability | None) -> Demand | None:
    """The first of `demands` for which `has` is too low; None where it is not known."""
    return None if has is None else next((one for one in demands if has < one.least), None)


def dotted(capability: Capability) -> str:
    """As NVIDIA writes it."""
    return f"{capability[0]}.{capability[1]}"
