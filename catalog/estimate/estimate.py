"""Estimates what an engine takes on each of its devices, from its checkpoint's facts and its flags.

Rule: pure. Weights, and keys and values, are counts, right to 5 %; the rest are estimates, and each part says its
formula and where that is from. What is not known is said in `assumed`, never guessed in silence.
"""

from dataclasses import dataclass

from catalog.estimate.architecture import Architecture, architecture_of
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.flags import Flags
from catalog.estimate.kv_cache import KvCache, kv_cache_of
from catalog.estimate.overheads import Piece, activation, batched_tokens, context, graphs, margin
from catalog.estimate.weights import weights_of


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes on each device. `pieces` are the parts of `need_bytes`, which holds keys and values for one full request.

    `kv_asked_bytes` are those for max_num_seqs requests of full length, `startup_peak_bytes` the most that is held
    before the engine serves, `max_positions` the longest context that the model itself allows (None: not said).
    `is_known` is whether weights could be told at all, `has_kv` whether keys and values could: without them
    `need_bytes` is only the least, and nothing may be built on what seems to be left.
    """

    architecture: Architecture
    flags: Flags
    kv: KvCache
    pieces: tuple[Piece, ...]
    weights_bytes: int
    kv_bytes_per_token: int
    kv_one_request_bytes: int
    kv_asked_bytes: int
    activation_bytes: int
    graphs_bytes: int
    context_bytes: int
    margin_bytes: int
    need_bytes: int
    startup_peak_bytes: int
    max_positions: int | None
    is_known: bool
    has_kv: bool
    origin: str
    assumed: tuple[str, ...]

    @property
    def fixed_bytes(self) -> int:
        """All but keys and values."""
        return self.need_bytes - self.kv_one_request_bytes

    @property
    def planned_bytes(self) -> int:
        """What it takes with the KV cache that its file asks for, if that is more; without vLLM's margin."""
        kv_bytes = 0 if self.architecture.is_encoder else self.flags.kv_cache_bytes or 0
        return self.fixed_bytes + max(self.kv_one_request_bytes, kv_bytes) - self.margin_bytes

    def kv_bytes(self, tokens: int, requests: int = 1) -> int:
        """What so many requests of so many tokens hold."""
        return requests * self.kv.request_bytes(tokens)

    def longest(self, available_bytes: int) -> int:
        """The longest context, in tokens, of which one request fits into `available_bytes`, up to the model's own."""
        room = available_bytes - self.fixed_bytes
        low, high = 0, self.max_positions or max(self.flags.max_model_len, 2**20)
        if room < 0:
            return 0
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.kv_bytes(middle) <= room else (low, middle - 1)
        return low

    def concurrency(self, available_bytes: int) -> int:
        """How many requests of full length fit into `available_bytes` at once; for an encoder all that are let in."""
        room = available_bytes - self.fixed_bytes
        if room < 0:
            return 0
        return room // self.kv_one_request_bytes if self.kv_one_request_bytes else self.flags.max_num_seqs


def estimate(
    checkpoint: Checkpoint, flags: Flags, device_total_bytes: int | None = None, *, is_gpu: bool = True
) -> Estimate:
    """What an engine with `flags` takes of `checkpoint` on each device of `device_total_bytes` (None: not known).

    Without a GPU there are no graphs and no CUDA context, but the memory of the processes themselves.
    """
    arch = architecture_of(checkpoint.config, flags.hf_overrides)
    weights = weights_of(checkpoint, arch, flags)
    tokens = batched_tokens(arch, flags, device_total_bytes)
    kv = kv_cache_of(arch, flags, tokens)
    one, asked = (n * kv.request_bytes(flags.max_model_len) for n in (1, flags.max_num_seqs))
    loaded_bytes = max(0, weights.bytes - flags.cpu_offload_bytes)
    offloaded = f", {flags.cpu_offload_bytes / 2**30:g} GiB of it in host memory" if flags.cpu_offload_bytes else ""
    peak, process, kept = activation(arch, flags, tokens), context(flags, is_gpu=is_gpu), margin(is_gpu=is_gpu)
    captured = graphs(arch, flags) if is_gpu else Piece("CUDA graphs", 0, "none without a GPU", "")
    full = f"{flags.max_model_len} tokens x {kv.bytes_per_token} B ({kv.words})" if kv.bytes_per_token else kv.words
    pieces = (
        Piece("weights", loaded_bytes, weights.words + offloaded, weights.source),
        Piece("KV, one full request", one, full, kv.source),
        *(peak, captured, process, kept),
    )
    need_bytes = sum(piece.bytes for piece in pieces)
    loading_bytes = loaded_bytes + max(weights.repacked_bytes, peak.bytes) + process.bytes
    kv_bytes = max(one, flags.kv_cache_bytes or 0) if kv.bytes_per_token else 0
    assumed = [*weights.assumed, *kv.assumed]
    if arch.has_cross_attention:
        assumed.append("it has an encoder and a decoder: keys and values of cross attention are not counted")
    if flags.kv_cache_bytes is not None and flags.kv_cache_bytes < one:  # an encoder's one is 0
        assumed.append("kv_cache_gib is less than one full request takes: vLLM will refuse to start")
    return Estimate(
        architecture=arch,
        flags=flags,
        kv=kv,
        pieces=pieces,
        weights_bytes=loaded_bytes,
        kv_bytes_per_token=kv.bytes_per_token,
        kv_one_request_bytes=one,
        kv_asked_bytes=asked,
        activation_bytes=peak.bytes,
        graphs_bytes=captured.bytes,
        context_bytes=process.bytes,
        margin_bytes=kept.bytes,
        need_bytes=need_bytes,
        startup_peak_bytes=max(loading_bytes, need_bytes - one + kv_bytes),
        max_positions=None if flags.allow_long_max_model_len else arch.max_positions,
        is_known=weights.bytes > 0,
        has_kv=arch.is_encoder or arch.is_known,
        origin=checkpoint.origin,
        assumed=tuple(assumed),
    )
