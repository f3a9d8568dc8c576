"""How many bytes a quantised matrix takes: the bits of a weight, and the scales and zero points beside it. Pure.

Sources: vLLM 0.32, `model_executor/layers/quantization/*` (the shapes in create_weights); the papers are named at the
methods below.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.estimate.matrices import Matrix, Part

_QUANTISED = frozenset({Part.LINEAR, Part.KEY_VALUE, Part.LATENT, Part.EXPERT})


@dataclass(frozen=True, slots=True)
class Scheme:
    """`bits` a weight, and for each `group` of inputs (0: all of a row) `side_bits` of scale and zero point.

    `parts` are what is quantised, `ignored` the checkpoint's own exceptions, `said` the words for people; kernels that
    work in tiles pad a matrix to multiples of `tile`: of the model's width, and of the MLP's.
    """

    name: str
    bits: float
    group: int
    side_bits: float
    source: str
    parts: frozenset[Part] = _QUANTISED
    ignored: tuple[str, ...] = ()
    is_symmetric: bool = False
    has_order: bool = False
    tile: tuple[int, int] = (1, 1)

    @property
    def said(self) -> str:
        """In words: AWQ, 4 bits, groups of 128."""
        return f"{self.name}, {self.bits:g} bits{f', groups of {self.group}' if self.group else ''}"

    def touches(self, matrix: Matrix) -> bool:
        """Whether `matrix` is quantised."""
        if matrix.part not in self.parts:
            return False
        full = f"model.layers.1.{matrix.name}"
        return not any(_is_meant(pattern, full) for pattern in self.ignored)

    def padding(self, hidden: int, ffn: int) -> float:
        """How much larger padding makes an expert of `hidden` times `ffn` (vLLM 0.32, `fused_moe/oracle/mxfp4.py`)."""
        if not hidden or not ffn:
            return 1.0
        wide, high = self.tile
        return (-(-hidden // wide) * wide) * (-(-ffn // high) * high) / (hidden * ffn)

    def bytes_of(self, matrix: Matrix) -> int:
        """What `matrix` takes quantised."""
        groups = -(-matrix.inputs // self.group) if self.group else 1
        bits = matrix.elements * self.bits + matrix.count * matrix.outputs * groups * self.side_bits
        return round(bits / 8)


def online_scheme(flag: str) -> Scheme | None:
    """What `--quantization` makes of unquantised weights; None for a method that needs a checkpoint of its own.

    Source: vLLM 0.32, `quantization/__init__.py` (the online shorthands), `config/quantization.py`.
    """
    source = "vLLM 0.32, model_executor/layers/quantization"
    known = {
        "fp8": Scheme("FP8", 8, 0, 0, source),
        "fp8_per_tensor": Scheme("FP8", 8, 0, 0, source),
        "fp8_per_channel": Scheme("FP8", 8, 0, 32, source),
        "fp8_per_block": Scheme("FP8", 8, 128, 32 / 128, source),
        "mxfp8": Scheme("MXFP8", 8, 32, 8, source),
        "experts_int8": Scheme("INT8", 8, 0, 32, source, parts=frozenset({Part.EXPERT})),
        "int8_per_channel_weight_only": Scheme("INT8", 8, 0, 32, source),
        "bitsandbytes": Scheme("bitsandbytes NF4", 4, 64, 32, "QLoRA, arXiv:2305.14314; a plugin of vLLM 0.32"),
    }
    return known.get(flag)


def scheme_of(config: Mapping[str, Any]) -> Scheme | None:
    """The scheme that a checkpoint's quantization_config describes; None where it does not say enough."""
    method = str(config.get("quant_method", config.get("quant_algo", ""))).lower().replace("_", "-")
    ignored = _ignored(config)
    group = _count(config, ("group_size", "q_group_size"), 128)
    bits = _count(config, ("bits", "w_bit", "nbits"), 4)
    match method:
        case "awq":
            source = "AWQ, arXiv:2306.00978; vLLM 0.32, quantization/auto_awq.py"
            return Scheme("AWQ", bits, max(group, 0), 16 + bits, source, ignored=ignored)
        case "gptq" | "auto-round" | "inc" | "intel/auto-round":
            source = "GPTQ, arXiv:2210.17323; vLLM 0.32, quantization/auto_gptq.py"
            symmetric = bool(config.get("sym", True))
            # Symmetric weights need no zero points, and Marlin drops them (kernels/linear/mixed_precision/marlin.py).
            side = 16 if symmetric else 16 + bits
            has_order = bool(config.get("desc_act", False))
            return Scheme("GPTQ", bits, max(group, 0), side, source, _QUANTISED, ignored, symmetric, has_order)
        case "fp8" | "fbgemm-fp8" | "modelopt" | "deepseek-v4-fp8":
            source = "vLLM 0.32, quantization/fp8.py"
            block = config.get("weight_block_size")
            if isinstance(block, list) and len(block) == 2:
                return Scheme("FP8", 8, int(block[1]), 32 / int(block[0]), source, ignored=ignored)
            return Scheme("FP8", 8, 0, 32 if method == "fbgemm-fp8" else 0, source, ignored=ignored)
        case "compressed-tensors":
            return _compressed(config, ignored)
        case "bitsandbytes":
            source = "QLoRA, arXiv:2305.14314; a plugin of vLLM 0.32, not part of it"
            if config.get("load_in_8bit") and not config.get("load_in_4bit"):
                return Scheme("bitsandbytes INT8", 8, 0, 32, source, ignored=ignored)
            # Doubly quantised, a scale has 8 bits and a share of one in 32 bits for each 256 of them.
            scales = 8 + 32 / 256 if config.get("bnb_4bit_use_double_quant", False) else 32
            return Scheme("bitsandbytes NF4", 4, 64, scales, source, ignored=ignored)
        case "mxfp4" | "gpt-oss-mxfp4":
            source = "OCP Microscaling Formats 1.0; vLLM 0.32, quantization/mxfp4.py"
            return Scheme("MXFP4", 4, 32, 8, source, parts=frozenset({Part.EXPERT}), tile=(256, 128))
        case "modelopt-fp4" | "nvfp4":
            return Scheme("NVFP4", 4, 16, 8, "vLLM 0.32, quantization/modelopt.py", ignored=ignored)
        case "gguf" | "":
            return None
        case _:
            if not any(key in config for key in ("bits", "nbits", "w_bit")):
                return None
            return Scheme(method, bits, max(group, 0), 16 + bits, "its quantization_config", ignored=ignored)


def _compressed(config: Mapping[str, Any], ignored: tuple[str, ...]) -> Scheme | None:
    """Source: vllm-project/compressed-tensors, docs; vLLM 0.32, `quantization/compressed_tensors/schemes`."""
    groups = config.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if not isinstance(weights, Mapping):
        return None
    source = "vLLM 0.32, quantization/compressed_tensors"
    bits, strategy = _count(weights, ("num_bits",), 8), weights.get("strategy")
    symmetric = bool(weights.get("symmetric", True))
    group = _count(weights, ("group_size",), 0) if strategy in ("group", "tensor_group") else 0
    name = f"compressed-tensors {'FP' if weights.get('type') == 'float' else 'INT'}{bits}"
    block = weights.get("block_structure")
    if strategy == "block" and isinstance(block, list):
        return Scheme(name, bits, int(block[1]), 32 / int(block[0]), source, ignored=ignored)
    if strategy == "tensor":
        return Scheme(name, bits, 0, 0, source, ignored=ignored)
    side = 8 if "nvfp4" in str(config.get("format")) else 16 + (0 if symmetric else bits)
    return Scheme(name, bits, max(group, 0), side, source, ignored=ignored)


def _ignored(config: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules")
    return tuple(str(name) for key in keys if isinstance(config.get(key), list) for name in config[key])


def _is_meant(pattern: str, full: str) -> bool:
    """Patterns are parts of names, or, behind `re:`, expressions from their beginning (compressed-tensors)."""
    if not pattern.startswith("re:"):
        return pattern in full
    try:
        return re.match(pattern.removeprefix("re:"), full) is not None
    except re.error:
        return False


def _count(config: Mapping[str, Any], names: tuple[str, ...], default: int) -> int:
    value = next((config[name] for name in names if isinstance(config.get(name), int)), default)
    return int(value)
