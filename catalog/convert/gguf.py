"""Converts a GGUF file into a folder that vLLM loads: weights dequantised to bfloat16, configuration and tokenizer.

Rule: what Transformers cannot read is refused by name, with vLLM's own plugin as the other way.
"""

import struct
from pathlib import Path

MAGIC = b"GGUF"
_ARCHITECTURE = b"general.architecture"
_STRING = 8
_HEAD_BYTES = 1 << 20
"""Where `general.architecture` is looked for: it is the first key by convention, and the tokenizer comes long after."""

PLUGIN = "serve the file itself with vLLM's plugin (vllm-gguf-plugin), as the model's 'weights'"


class GgufUnusable(Exception):
    """The file cannot be converted; the message says why, and what else can be done."""


def architecture_of(path: Path) -> str:
    """The architecture that the file names, as llama.cpp spells it: `llama`, `qwen2`, ...

    Raises: GgufUnusable. Source: the GGUF specification, github.com/ggml-org/ggml `docs/gguf.md`.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(MAGIC):
        raise GgufUnusable(f"{path.name} does not start with the GGUF magic bytes: it is no GGUF file")
    at = head.find(struct.pack("<Q", len(_ARCHITECTURE)) + _ARCHITECTURE + struct.pack("<I", _STRING))
    start = at + 8 + len(_ARCHITECTURE) + 4 + 8
    if at < 0 or len(head) < start:
        raise GgufUnusable(f"{path.name} names no architecture: it ends too early, or it is split and not the first")
    (length,) = struct.unpack("<Q", head[start - 8 : start])
    return head[start : start + length].decode(errors="replace")


def convert_gguf(source: Path, target: Path) -> list[str]:
    """Write the GGUF file `source` into folder `target`. Returns what was done.

    Raises: GgufUnusable, and what Transformers raises for a file that it cannot read.
    """
    architecture = architecture_of(source)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.modeling_gguf_pytorch_utils import (  # type: ignore[import-not-found, unused-ignore]
        GGUF_SUPPORTED_ARCHITECTURES,
    )

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    quantization = GgufConfig(dequantize=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=quantization, dtype=torch.bfloat16)
    except ValueError as error:
        if "architecture" not in str(error) or "not supported" not in str(error):
            raise
        known = ", ".join(sorted(set(GGUF_SUPPORTED_ARCHITECTURES) - {"general", "tokenizer"}))
        raise GgufUnusable(
            f"Transformers cannot read GGUF files of architecture '{architecture}' (it reads {known}): {PLUGIN}"
        ) from error
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**where).save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors makes it for its owner only, and engines may run as somebody else
    return [f"GGUF of architecture {architecture} dequantised to bfloat16"]
