"""What of a model's spec decides how much memory its engine takes, as typed values. Pure.

Source of the flags and of their defaults: vLLM 0.32, `engine/arg_utils.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.render import canonical_flag
from catalog.spec import GIB, FlagValue, ModelSpec

_SWITCHES = {True: True, "true": True, "True": True}


@dataclass(frozen=True, slots=True)
class Flags:
    """How an engine is started. `max_num_batched_tokens`, `kv_cache_dtype` and `quantization` are None where vLLM
    chooses; `limit_mm_per_prompt` are the items that a request may have, by modality; `cpu_offload_bytes` are the
    weights that stay in host memory, of each device.
    """

    max_model_len: int
    max_num_seqs: int = 16
    dtype: str = "auto"
    kv_cache_bytes: int | None = None
    device_count: int = 1
    embedder: bool = False
    enforce_eager: bool = False
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    hf_overrides: Mapping[str, Any] = field(default_factory=dict)
    language_model_only: bool = False
    limit_mm_per_prompt: Mapping[str, int] = field(default_factory=dict)
    cpu_offload_bytes: int = 0
    disable_sliding_window: bool = False
    disable_hybrid_kv_cache_manager: bool = False
    async_scheduling: bool = True
    allow_long_max_model_len: bool = False

    def is_blind(self, *, sees_videos: bool) -> bool:
        """Whether the vision tower is left out: nothing that it sees may be in a request.

        Source: vLLM 0.32, `models/interfaces.py` _mark_tower_model.
        """
        closed = [self.limit_mm_per_prompt.get(kind) == 0 for kind in ("image", *(["video"] if sees_videos else []))]
        return self.language_model_only or all(closed)


def flags_of(spec: ModelSpec) -> Flags:
    """The flags of `spec`. Raises: ValueError, naming the flag, for a value that is not of its kind."""
    given = {canonical_flag(flag): value for flag, value in spec.vllm_args.items()}
    kv_cache_dtype = _text(given.get("kv-cache-dtype"))
    return Flags(
        max_model_len=spec.max_model_len,
        max_num_seqs=spec.max_num_seqs,
        dtype=spec.dtype,
        kv_cache_bytes=None if spec.kv_cache_bytes is None else int(spec.kv_cache_bytes),
        device_count=spec.device_count,
        embedder=spec.embedder,
        enforce_eager=_is_on(given, "enforce-eager") or _has_no_graphs(given),
        quantization=_text(given.get("quantization", given.get("q"))),
        kv_cache_dtype=None if kv_cache_dtype == "auto" else kv_cache_dtype,
        max_num_batched_tokens=_count(given, "max-num-batched-tokens"),
        block_size=_count(given, "block-size"),
        hf_overrides=_object(given, "hf-overrides"),
        language_model_only=_is_on(given, "language-model-only"),
        limit_mm_per_prompt=_limits(_object(given, "limit-mm-per-prompt")),
        cpu_offload_bytes=round(_number(given, "cpu-offload-gb") * GIB),
        disable_sliding_window=_is_on(given, "disable-sliding-window"),
        disable_hybrid_kv_cache_manager=_is_on(given, "disable-hybrid-kv-cache-manager"),
        async_scheduling=given.get("async-scheduling", not _is_on(given, "no-async-scheduling")) is not False,
        allow_long_max_model_len=spec.env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") not in ("", "0"),
    )


def _is_on(given: Mapping[str, FlagValue], flag: str) -> bool:
    value = given.get(flag)
    return isinstance(value, bool | str) and _SWITCHES.get(value, False)


def _has_no_graphs(given: Mapping[str, FlagValue]) -> bool:
    """-O0 and a compilation config without graphs are as good as --enforce-eager for memory."""
    config = _object(given, "compilation-config")
    return str(given.get("optimization-level", "")) == "0" or str(config.get("cudagraph_mode", "")).upper() == "NONE"


def _text(value: FlagValue | None) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _count(given: Mapping[str, FlagValue], flag: str) -> int | None:
    """Raises: ValueError. vLLM takes 2k for 2000 and 2K for 2048 (`engine/arg_utils.py`, human_readable_int)."""
    if (value := given.get(flag)) is None:
        return None
    text = str(value)
    scales = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
    try:
        return int(float(text[:-1]) * scales[text[-1]]) if text[-1:] in scales else int(text)
    except ValueError as error:
        raise ValueError(f"{flag} must be a whole number, and is '{value}'") from error


def _number(given: Mapping[str, FlagValue], flag: str) -> float:
    """Raises: ValueError."""
    value = given.get(flag, 0)
    try:
        return float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError as error:
        raise ValueError(f"{flag} must be a number, and is '{value}'") from error


def _object(given: Mapping[str, FlagValue], flag: str) -> Mapping[str, Any]:
    """Raises: ValueError."""
    value = given.get(flag, {})
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{flag} must be JSON, and is '{value}'") from error
    if not isinstance(value, dict):
        raise ValueError(f"{flag} must be a JSON object, and is '{value}'")
    return value


def _limits(given: Mapping[str, Any]) -> Mapping[str, int]:
    """A limit is a number, or an object with a `count` (vLLM 0.32, `config/multimodal.py`)."""
    counts = {name: one.get("count", 1) if isinstance(one, dict) else one for name, one in given.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}
