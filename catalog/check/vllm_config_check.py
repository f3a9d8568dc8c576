"""What vLLM's own configuration says of a model: its registry, its context, its dtype and quantisation. Loads no model.

For vLLM's environment only, inside `catalog.check.vllm_check`.
"""

import argparse
from typing import Any

from catalog.check.check import WRONG_PLACE, Aspect
from catalog.check.vllm_question import Case, Fault, one_line
from catalog.suggest import nearest

_REFUSALS: tuple[tuple[str, Aspect, str | None], ...] = (
    ("greater than the derived max_model_len", Aspect.CONTEXT, "lower max_model_len"),
    ("quantiz", Aspect.QUANTISATION, "take the checkpoint in another quantisation"),
    ("float16", Aspect.DTYPE, "set another dtype"),
    ("dtype", Aspect.DTYPE, "set another dtype"),
    ("runner", Aspect.EMBEDDER, "does the key 'embedder' fit this model?"),
    ("convert", Aspect.EMBEDDER, "does the key 'embedder' fit this model?"),
    ("pooling", Aspect.EMBEDDER, "does the key 'embedder' fit this model?"),
    ("architecture", Aspect.ARCHITECTURE, WRONG_PLACE),
)
"""By a word of vLLM's message: what it is about, and what may help."""


def config_faults(case: Case, arguments: argparse.Namespace) -> list[Fault]:
    """What vLLM's own configuration of the model refuses, without loading it."""
    from vllm.config import LoadConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.model_executor.model_loader.weight_utils import get_quant_config

    try:
        if (fault := _unsupported(case, arguments)) is not None:
            return [fault]
        model = AsyncEngineArgs.from_cli_args(arguments).create_model_config()
        quantisation = None if model.quantization is None else get_quant_config(model, LoadConfig())
    except Exception as error:  # whatever vLLM raises here, it raises at the start too
        return [_refused_config(case, error)]
    if model.runner_type == "pooling" and not case.embedder:
        what = f"{model.architectures[0]} embeds and writes no text"
        return [Fault(model=case.model, aspect=Aspect.EMBEDDER, what=what, remedy="set embedder: true")]
    return [
        *_division_faults(case, model, arguments.tensor_parallel_size),
        *_dtype_faults(case, model.dtype, quantisation),
        *_capability_faults(case, model, quantisation),
    ]


def _unsupported(case: Case, arguments: argparse.Namespace) -> Fault | None:
    """Whether the architecture is not in the registry, or is there and cannot be imported here.

    The class is imported in this process: vLLM starts one for each that it has not yet looked at, which takes 6 s and
    says no more than that it failed.
    """
    from vllm.model_executor.models.registry import ModelRegistry, _LazyRegisteredModel, _ModelInfo
    from vllm.transformers_utils.config import get_config

    overrides = arguments.hf_overrides if isinstance(arguments.hf_overrides, dict) else {}
    config = get_config(arguments.model, arguments.trust_remote_code, hf_overrides_kw=overrides)
    names = list(getattr(config, "architectures", None) or [])
    known = [name for name in names if name in ModelRegistry.models]
    if names and not known and arguments.model_impl == "auto" and not getattr(config, "auto_map", None):
        what = f"this vLLM does not support the architecture {', '.join(names)}"
        remedy = nearest(names[0], list(ModelRegistry.models)).strip() or "is there a copy in Transformers' layout?"
        return Fault(model=case.model, aspect=Aspect.ARCHITECTURE, what=what, remedy=remedy)
    for name in known:
        registered = ModelRegistry.models[name]
        if not isinstance(registered, _LazyRegisteredModel):
            continue
        try:
            inspected = _ModelInfo.from_model_cls(registered.load_model_cls())
        except ImportError as error:
            what = f"this installation of vLLM cannot import {name}: {one_line(error)}"
            lacking = f"install {error.name} beside it, for the same torch" if error.name else None
            return Fault(model=case.model, aspect=Aspect.ARCHITECTURE, what=what, remedy=lacking)
        object.__setattr__(registered, "inspect_model_cls", lambda inspected=inspected: inspected)
    return None


def _refused_config(case: Case, error: Exception) -> Fault:
    """What vLLM raised, in one line, with what it is about."""
    what = one_line(error)
    known = [(aspect, remedy) for word, aspect, remedy in _REFUSALS if word in what]
    aspect, remedy = known[0] if known else (Aspect.CONFIG, None)
    return Fault(model=case.model, aspect=aspect, what=what, remedy=remedy)


def _division_faults(case: Case, model: Any, devices: int) -> list[Fault]:
    """Whether vLLM divides the model by so many devices; the engine would end at its start.

    Heads of keys and values are the model classes' own assertion (vLLM 0.32, `models/llama.py` LlamaAttention).
    """
    from vllm.config import ParallelConfig

    try:
        # By itself it looks for the devices, which need not be here.
        model.verify_with_parallel_config(
            ParallelConfig(tensor_parallel_size=devices, distributed_executor_backend="mp")
        )
    except Exception as error:  # its errors have no common base
        what = one_line(error)
    else:
        heads = 0 if model.use_mla else int(model.get_total_num_kv_heads())
        if not heads or not max(heads, devices) % min(heads, devices):
            return []
        what = f"Total number of KV heads ({heads}) and tensor parallel size ({devices}) do not divide"
    remedy = "set device_count to a number that divides them"
    return [Fault(model=case.model, aspect=Aspect.CONFIG, what=what, remedy=remedy)]


def _dtype_faults(case: Case, dtype: Any, quantisation: Any) -> list[Fault]:
    """Sources: vLLM 0.32, `config/vllm.py` _get_quantization_config; `platforms/cuda.py` check_if_supports_dtype."""
    import torch
    from vllm.platforms import current_platform

    name = str(dtype).removeprefix("torch.")
    if quantisation is not None and dtype not in (allowed := quantisation.get_supported_act_dtypes()):
        names = ", ".join(str(one).removeprefix("torch.") for one in allowed)
        what = f"dtype {name} does not go with {quantisation.get_name()}"
        return [Fault(model=case.model, aspect=Aspect.DTYPE, what=what, remedy=f"set dtype to one of {names}")]
    if case.capability is not None and dtype is torch.bfloat16 and case.capability < (8, 0):
        what = f"dtype bfloat16 needs a GPU of compute capability 8.0, and this one has {_dotted(case.capability)}"
        return [Fault(model=case.model, aspect=Aspect.DTYPE, what=what, remedy="set dtype: float16")]
    if case.capability is None and dtype not in (allowed := current_platform.supported_dtypes):
        names = ", ".join(str(one).removeprefix("torch.") for one in allowed)
        what = f"dtype {name} is not one of this machine's ({names})"
        return [Fault(model=case.model, aspect=Aspect.DTYPE, what=what, remedy="set another dtype")]
    return []


def _capability_faults(case: Case, model: Any, quantisation: Any) -> list[Fault]:
    """Source: vLLM 0.32, `config/vllm.py` _get_quantization_config."""
    if quantisation is None or case.capability is None:
        return []  # whether the platform has it at all, create_model_config has asked (verify_quantization)
    needed = int(quantisation.get_min_capability())
    if case.capability[0] * 10 + case.capability[1] >= needed:
        return []
    wanted = _dotted((needed // 10, needed % 10))
    has = _dotted(case.capability)
    what = f"{model.quantization} needs a GPU of compute capability {wanted}, and this one has {has}"
    remedy = "take the checkpoint in another quantisation, or name other 'devices'"
    return [Fault(model=case.model, aspect=Aspect.QUANTISATION, what=what, remedy=remedy)]


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
