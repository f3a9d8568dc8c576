"""Converts checkpoints that vLLM cannot load as they are.

It runs in vLLM's environment, which has Transformers: `.venv-vllm/bin/python -m catalog.convert MODEL.gguf FOLDER`.
"""

import sys
from pathlib import Path


def gguf_to_safetensors(source: Path, target: Path) -> None:
    """Write the GGUF file `source`, dequantised to bfloat16, as a folder that vLLM loads: weights and tokenizer.

    Raises: what Transformers raises for a file or an architecture that it cannot read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    quantization = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=quantization, dtype=torch.bfloat16)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**where).save_pretrained(target)


if __name__ == "__main__":
    gguf_to_safetensors(Path(sys.argv[1]), Path(sys.argv[2]))
