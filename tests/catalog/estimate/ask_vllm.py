"""Asks vLLM itself what configurations take: run by vLLM's Python, a list of configurations as JSON on standard input.

For each it makes vLLM's own model class on PyTorch's meta device, which has shapes and no memory, and prints the bytes
of its parameters, and what its layers and its KV cache manager say of keys and values; and the names and shapes that
Transformers gives the tensors of such a checkpoint.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from vllm.config import set_current_vllm_config
from vllm.distributed import (
    destroy_model_parallel,
    init_distributed_environment,
    initialize_model_parallel,
)
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.usage.usage_lib import UsageContext
from vllm.v1.core import kv_cache_utils

# vLLM makes some quantised layers only where the CPU has AMX; here nothing is computed, and shapes are the same on any.
torch.cpu._is_amx_tile_supported = lambda: True


def ask(case: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """What vLLM says of one case: its config, its flags."""
    folder = scratch / case["name"]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    flags = {"enforce_eager": True, "skip_tokenizer_init": True, "load_format": "dummy", **case["flags"]}
    config = EngineArgs(model=str(folder), **flags).create_engine_config(UsageContext.OPENAI_API_SERVER)
    config.cache_config.kv_cache_layout = "LBNHC"  # what the engine core settles on before it asks the layers
    with set_current_vllm_config(config):
        if torch.distributed.is_initialized():
            destroy_model_parallel()  # its groups are other ones for a mixture of experts
        else:
            init_distributed_environment(1, 0, f"file://{scratch}/init", 0, backend="gloo")
        initialize_model_parallel(1, 1)
        torch.set_default_dtype(config.model_config.dtype)
        with torch.device("meta"):
            model = initialize_model(config)
        tensors = _checkpoint(case)
    parameters = {id(one): one for one in model.parameters()}.values()
    layers = config.compilation_config.static_forward_context
    asked = {
        name: layer.get_kv_cache_spec(config) for name, layer in layers.items() if isinstance(layer, AttentionLayerBase)
    }
    specs = {name: spec for name, spec in asked.items() if spec is not None}
    per_token = sum(spec.page_size_bytes / spec.block_size for spec in specs.values())
    groups = kv_cache_utils.get_kv_cache_groups(config, specs) if specs else []
    return {
        "name": case["name"],
        "tensors": tensors,
        "weights_bytes": sum(one.numel() * one.element_size() for one in parameters),
        "kv_bytes_per_token": per_token,
        "kv_one_request_bytes": kv_cache_utils._max_memory_usage_bytes_from_groups(config, groups) if groups else 0,
        "block_size": config.cache_config.block_size,
        "batched_tokens": config.scheduler_config.max_num_batched_tokens,
        "in_flight_tokens": config.max_in_flight_tokens,
        "max_positions": config.model_config.model_arch_config.derived_max_model_len_and_key[0],
    }


def _checkpoint(case: dict[str, Any]) -> dict[str, list[int]]:
    """Names and shapes of what Transformers would save of this model, unquantised."""
    plain = {key: value for key, value in case["config"].items() if key not in ("quantization_config", "architectures")}
    kind = AutoModel if case["is_encoder"] else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(AutoConfig.for_model(**plain))
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for case in json.load(sys.stdin):
            try:
                print(json.dumps(ask(case, Path(scratch))), flush=True)
            except Exception as error:  # a case that this build cannot make must not hide the others
                print(json.dumps({"name": case["name"], "error": f"{type(error).__name__}: {error}"}), flush=True)
    os._exit(0)  # vLLM's own end would complain about a process group that nobody uses
