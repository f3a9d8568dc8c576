"""What keys and values take on each device: a token's, a full request's, all that was asked for. Pure.

vLLM puts the layers into groups of equal size, each with its own blocks from one pool, and a group whose layers look
back only so far gives blocks back. Source: vLLM 0.32, `v1/kv_cache_interface.py` (SlidingWindowSpec,
MLAAttentionSpec), `v1/core/kv_cache_utils.py` (_get_kv_cache_groups_uniform_page_size, _max_memory_usage_bytes).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.estimate.architecture import Architecture
from catalog.estimate.flags import Flags
from catalog.estimate.weights import float_bytes

BLOCK_TOKENS = 16
"""vLLM's block where no flag and no attention back end says otherwise (`config/cache.py`)."""

_GROUPS_ALIKE = 1.5
"""Groups are made as large as the largest kind of layer where it is no larger than this times the smallest."""

_LATENT_ROW_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
_WIDTHS = {
    "fp8": 1.0,
    "fp8_e4m3": 1.0,
    "fp8_e5m2": 1.0,
    "fp8_inc": 1.0,
    "fp8_ds_mla": 1.0,
    "int8": 1.0,
    "nvfp4": 9 / 16,
}
_WIDTHS |= {"float32": 4.0, "float": 4.0, "float16": 2.0, "half": 2.0, "bfloat16": 2.0, "nvfp4_4over6": 9 / 16}
_PER_HEAD = {"int8_per_token_head": 1.0, "fp8_per_token_head": 1.0, "int4_per_token_head": 0.5}
"""Bytes of a number by --kv-cache-dtype; those of the last table have a scale for each token and head beside it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a table of blocks; padded so that all groups are alike."""

    layers: int
    window_tokens: int | None


@dataclass(frozen=True, slots=True)
class KvCache:
    """Bytes on each device. `bytes_per_token` counts every layer, as for a token that all of them still see."""

    bytes_per_token: int
    layer_bytes: int
    block_tokens: int
    in_flight_tokens: int
    groups: tuple[Group, ...]
    words: str
    source: str
    assumed: tuple[str, ...] = ()

    def request_bytes(self, tokens: int) -> int:
        """What one request of so many tokens holds at most, in whole blocks."""
        return sum(self._blocks(group, tokens) * group.layers * self.block_tokens for group in self.groups) * (
            self.layer_bytes
        )

    def _blocks(self, group: Group, tokens: int) -> int:
        if group.window_tokens is None:
            return -(-tokens // self.block_tokens)
        held = min(group.window_tokens - 1 + self.in_flight_tokens, tokens)
        return -(-held // self.block_tokens) + 1  # the window need not begin where a block does


def kv_cache_of(arch: Architecture, flags: Flags, batched_tokens: int) -> KvCache:
    """The keys and values of `arch`; `batched_tokens` is --max-num-batched-tokens as it will be."""
    source = "vLLM 0.32, v1/kv_cache_interface.py"
    assumed: tuple[str, ...] = ()
    block = flags.block_size or BLOCK_TOKENS
    in_flight = batched_tokens * (2 if flags.async_scheduling else 1)
    if arch.is_encoder or not arch.is_known:
        words = "an encoder keeps none" if arch.is_encoder else "not known"
        if not arch.is_encoder:
            assumed = ("keys and values are not counted: config.json lacks dimensions",)
        return KvCache(0, 0, block, in_flight, (), words, source, assumed)
    layer_bytes, words, assumed = _layer_bytes(arch, flags)
    windows = [layer.window_tokens for layer in arch.layers if not layer.is_recurrent]
    if flags.disable_hybrid_kv_cache_manager and len(set(windows)) > 1:
        windows = [None] * len(windows)
    groups = _groups(windows, ignored=flags.disable_sliding_window)
    limited = sum(window is not None for window in windows)
    if limited:
        words += f"; {limited} of them look back {next(w for w in windows if w is not None)} tokens only"
    if recurrent := len(arch.layers) - len(windows):
        assumed = (*assumed, f"the states of {recurrent} recurrent layers are not counted")
    return KvCache(len(windows) * layer_bytes, layer_bytes, block, in_flight, groups, words, source, assumed)


def _layer_bytes(arch: Architecture, flags: Flags) -> tuple[int, str, tuple[str, ...]]:
    """Bytes of one token in one layer on one device, the words, and what was assumed."""
    dtype = flags.kv_cache_dtype or _stored_dtype(arch.quantisation)
    assumed: tuple[str, ...] = ()
    width = float(float_bytes(arch, flags.dtype))
    side = 0
    if dtype in _PER_HEAD:
        width, side = _PER_HEAD[dtype], 4
    elif dtype is not None and dtype in _WIDTHS:
        width = _WIDTHS[dtype]
    elif dtype is not None:
        assumed = (f"kv-cache-dtype {dtype} is not known here: counted as {8 * width:g} bits a number",)
    layers = sum(not layer.is_recurrent for layer in arch.layers)
    if (latent := arch.latent) is not None:
        row = latent.kv_rank + latent.rope_dim
        words = f"{layers} layers x (latent {latent.kv_rank} + rope {latent.rope_dim}) x {width:g} B, on every device"
        return _LATENT_ROW_BYTES.get(dtype or "", round(row * width)), words, assumed
    heads = max(1, arch.kv_heads // flags.device_count)
    words = f"2 x {layers} layers x {heads} KV heads x {arch.head_dim} x {width:g} B"
    return 2 * heads * round(arch.head_dim * width + side), words, assumed


def _groups(windows: list[int | None], *, ignored: bool) -> tuple[Group, ...]:
    kinds = Counter([None] * len(windows) if ignored else windows)
    if not kinds:
        return ()
    fewest, most = min(kinds.values()), max(kinds.values())
    size = most if most < fewest * _GROUPS_ALIKE else fewest
    return tuple(Group(size, window) for window, layers in kinds.items() for _ in range(-(-layers // size)))


def _stored_dtype(quantisation: Mapping[str, Any]) -> str | None:
    """What a checkpoint itself asks for (vLLM 0.32, `utils/torch_utils.py` get_kv_cache_quant_algo_string, and
    `layers/attention/attention.py` for compressed-tensors' kv_cache_scheme).
    """
    scheme = quantisation.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8"
    algorithm = str(quantisation.get("kv_cache_quant_algo") or "").lower()
    return algorithm if algorithm in ("fp8", "nvfp4") else None
