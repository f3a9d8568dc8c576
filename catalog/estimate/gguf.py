"""Reads the header of a GGUF file: the model's dimensions, as a config.json would name them, and its tensors.

Rule: the header only; no weight is read. Source of the format: ggml-org/ggml, docs/gguf.md.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from catalog.estimate.tensors import CheckpointError, Tensor

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 2**24
"""A string or a dimension list longer than this is a file that is no GGUF."""

_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
    40: "NVFP4",
}
"""ggml's numbers for dtypes (ggml-org/ggml, include/ggml.h, enum ggml_type)."""

_NAMES = {
    "deepseek2": "deepseek_v2",
    "gemma3": "gemma3_text",
    "gpt-oss": "gpt_oss",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
}
"""GGUF's architectures that have another name as a model_type (ggml-org/llama.cpp, src/llama-arch.cpp)."""

_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "rope_dimension_count",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "vocab_size": "vocab_size",
}
"""GGUF's names for dimensions, behind the architecture's, and config.json's for the same."""


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The dimensions, in config.json's names, and the tensors of the GGUF file at `path`.

    Raises: CheckpointError.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except (struct.error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise CheckpointError(path, f"is no GGUF file, or not all of one: {error}") from error


def _read(path: Path, file: BinaryIO) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if file.read(4) != _MAGIC:
        raise CheckpointError(path, "is no GGUF file: it does not begin with GGUF")
    (version,) = _take(file, "I")
    if version not in (2, 3):
        raise CheckpointError(path, f"is of GGUF version {version}; 2 and 3 can be read")
    tensor_count, fact_count = _take(file, "QQ")
    facts: dict[str, Any] = {}
    for _ in range(fact_count):
        name = _string(file)
        facts[name] = _value(file, _take(file, "I")[0])
    tensors: dict[str, Tensor] = {}
    for _ in range(tensor_count):
        name = _string(file)
        (count,) = _take(file, "I")
        shape = _take(file, f"{_checked(count)}Q")
        kind, _ = _take(file, "IQ")
        if kind not in _TYPES:
            raise CheckpointError(path, f"{name} has ggml's dtype {kind}, which is not known here")
        tensors[name] = Tensor(_TYPES[kind], tuple(reversed(shape)))  # GGUF lists the innermost dimension first
    return _config(path, facts, tensors), tensors


def _config(path: Path, facts: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    kind = facts.get("general.architecture")
    if not isinstance(kind, str):
        raise CheckpointError(path, "does not say what architecture it has (general.architecture)")
    config = {ours: facts[f"{kind}.{theirs}"] for theirs, ours in _KEYS.items() if f"{kind}.{theirs}" in facts}
    # One figure a layer is possible; the largest is on the safe side.
    config = {key: max(value) if isinstance(value, list) and value else value for key, value in config.items()}
    if "vocab_size" not in config and "token_embd.weight" in tensors:
        config["vocab_size"] = tensors["token_embd.weight"].shape[0]
    is_tied = "output.weight" not in tensors
    return {
        "model_type": _NAMES.get(kind, kind),
        "tie_word_embeddings": is_tied,
        "quantization_config": {"quant_method": "gguf"},
    } | config


def _value(file: BinaryIO, kind: int) -> Any:
    """A value of the type `kind`; of an array of strings or of many numbers (a tokenizer's) only that there is one."""
    if kind in _SCALARS:
        return _take(file, _SCALARS[kind])[0]
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        raise ValueError(f"there is no type {kind}")
    inner, count = _take(file, "IQ")
    if inner in _SCALARS:
        size = struct.calcsize("<" + _SCALARS[inner])
        if count <= 1024:
            return [_take(file, _SCALARS[inner])[0] for _ in range(count)]
        file.seek(size * count, 1)
        return None
    for _ in range(_checked(count)):
        _value(file, inner)
    return None


def _string(file: BinaryIO) -> str:
    (length,) = _take(file, "Q")
    text = file.read(_checked(length))
    if len(text) < length:
        raise ValueError("it ends inside its header")
    return text.decode("utf-8", errors="replace")


def _take(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    packed = struct.Struct("<" + layout)
    text = file.read(packed.size)
    if len(text) < packed.size:
        raise ValueError("it ends inside its header")
    return packed.unpack(text)


def _checked(length: int) -> int:
    if length > _LONGEST:
        raise ValueError(f"a length of {length} cannot be")
    return length
