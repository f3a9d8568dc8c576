"""What an engine takes beside weights and keys and values: activations, CUDA graphs, the context, a margin. Pure.

These are estimates, where weights and keys and values are counts: set against vLLM's own log lines ("... GiB for peak
activation, ... GiB for CUDAGraph memory") they are right to a few tenths of a GiB.
"""

from dataclasses import dataclass

from catalog.estimate.architecture import Architecture, Layer
from catalog.estimate.flags import Flags
from catalog.estimate.weights import float_bytes
from catalog.render import CUDA_CONTEXT_BYTES
from catalog.spec import GIB

MIB = 2**20
LARGE_DEVICE_BYTES = 70 * GIB
"""From here on vLLM batches more tokens (vLLM 0.32, `engine/arg_utils.py` get_batch_defaults)."""

ACTIVATION_FLOOR_BYTES = GIB // 4
"""Workspaces of kernels and what the allocator rounds up, whatever the model."""

MARGIN_BYTES = 150 * MIB
"""What vLLM itself keeps back for what its profiling run does not see (vLLM 0.32, `v1/worker/gpu_worker.py`)."""

GRAPH_POOL_BYTES = 64 * MIB
GRAPH_PIECE_BYTES = 256 * 1024
"""A pool, and what one piece of a graph takes: 67 sizes of a model of 32 layers take about 0.5 GiB."""

NCCL_BYTES = round(0.3 * GIB)
"""What the buffers of several devices take on each: 0.30 GiB in vLLM's log of two L40S (vllm-project/vllm#15815)."""

CPU_PROCESS_BYTES = round(1.45 * GIB)
"""The three processes of an engine on the CPU build, without weights: 1.9 to 2.9 GB were measured with small models."""

_LARGEST_GRAPH = 512
_LOGIT_BYTES = 14
"""A logit in the engine's 16 bits, in float32, and twice more while it is sorted for top-p (`v1/sample/sampler.py`)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of what an engine takes on each device: bytes, the formula in words, where the formula is from."""

    name: str
    bytes: int
    words: str
    source: str


def batched_tokens(arch: Architecture, flags: Flags, device_total_bytes: int | None) -> int:
    """--max-num-batched-tokens as it will be. Source: vLLM 0.32, `engine/arg_utils.py`, for API servers.

    A model that cannot take a prompt in chunks (an encoder) gets at least its whole context.
    """
    if flags.max_num_batched_tokens is not None:
        return flags.max_num_batched_tokens
    default = 8192 if device_total_bytes is not None and device_total_bytes >= LARGE_DEVICE_BYTES else 2048
    if arch.is_encoder:
        default = max(default, flags.max_model_len)
    return min(flags.max_num_seqs * flags.max_model_len, default)


def activation(arch: Architecture, flags: Flags, tokens: int) -> Piece:
    """The peak of the profiling run: the widest layer at `tokens`, the sampler at max_num_seqs, the image encoder.

    Meta-Llama-3-8B at 8192 tokens and 256 sequences: 1.27 GiB beside the floor, and 1.26 in vLLM's own log
    (vllm-project/vllm#10511).
    """
    size = float_bytes(arch, flags.dtype)
    widest = max((_columns(arch, layer, flags.device_count) for layer in arch.layers), default=0)
    layer_bytes = tokens * (3 * arch.hidden + widest) * size
    logits_bytes = 0 if flags.embedder or arch.is_encoder else flags.max_num_seqs * arch.vocab * _LOGIT_BYTES
    images_bytes = _images(arch, flags, tokens, size)
    words = f"widest layer at {tokens} tokens {_mib(layer_bytes)}, logits of {flags.max_num_seqs} {_mib(logits_bytes)}"
    if images_bytes:
        words += f", images {_mib(images_bytes)}"
    words += f", workspaces {_mib(ACTIVATION_FLOOR_BYTES)}"
    total_bytes = ACTIVATION_FLOOR_BYTES + layer_bytes + logits_bytes + images_bytes
    return Piece("activations", total_bytes, words, "vLLM 0.32, v1/worker/gpu_model_runner.py profile_run")


def graphs(arch: Architecture, flags: Flags) -> Piece:
    """The captured graphs: a piece for every layer and batch size, up to twice max_num_seqs.

    Source: vLLM 0.32, `config/vllm.py` _set_cudagraph_sizes.
    """
    source = "vLLM 0.32, config/vllm.py; an estimate"
    if flags.enforce_eager:
        return Piece("CUDA graphs", 0, "none with enforce-eager", source)
    largest = min(2 * flags.max_num_seqs, _LARGEST_GRAPH)
    sizes = sum(size <= largest for size in (1, 2, 4)) + largest // 8 - max(0, largest - 256) // 16
    pieces = sizes * (len(arch.layers) + 1)
    words = f"{sizes} batch sizes up to {largest} x {len(arch.layers) + 1} pieces x {GRAPH_PIECE_BYTES // 1024} KiB"
    return Piece("CUDA graphs", GRAPH_POOL_BYTES + pieces * GRAPH_PIECE_BYTES, words, source)


def context(flags: Flags, *, is_gpu: bool) -> Piece:
    """What the process itself holds: the CUDA context, and NCCL's buffers; or the host's memory of the CPU build."""
    if is_gpu:
        words, source = "one process, outside --gpu-memory-utilization", "0.3 to 0.5 GiB are usual"
        if flags.device_count == 1:
            return Piece("CUDA context", CUDA_CONTEXT_BYTES, words, source)
        total_bytes, source = CUDA_CONTEXT_BYTES + NCCL_BYTES, f"{source}; NCCL: vllm-project/vllm#15815"
        return Piece("CUDA context", total_bytes, f"{words}, and NCCL's buffers", source)
    return Piece("processes", CPU_PROCESS_BYTES, "three processes of the CPU build", "measured with vLLM 0.32")


def margin(*, is_gpu: bool) -> Piece:
    """What vLLM keeps back."""
    return Piece("margin", MARGIN_BYTES if is_gpu else 0, "vLLM's own", "vLLM 0.32, v1/worker/gpu_worker.py")


def _columns(arch: Architecture, layer: Layer, devices: int) -> int:
    """Numbers a token has at the widest point of a layer: the MLP's up projection, or each chosen expert's."""
    matrices = 3 if arch.is_gated else 2
    if not layer.experts:
        return matrices * layer.ffn // devices
    each = matrices * layer.ffn // devices + arch.hidden
    return arch.experts_per_token * each + matrices * layer.shared_ffn // devices


def _images(arch: Architecture, flags: Flags, tokens: int, size: int) -> int:
    """The image encoder at as many images as fill its budget (vLLM 0.32, `multimodal/encoder_budget.py`)."""
    tower = arch.tower
    if tower is None or flags.is_blind(sees_videos=tower.sees_videos):
        return 0
    items = max(1, tokens * tower.merge**2 // max(tower.tokens_per_item, 1))
    allowed = flags.max_num_seqs * flags.limit_mm_per_prompt.get("image", items)
    seen = min(items, allowed) * tower.tokens_per_item
    return seen * (4 * tower.hidden + 2 * tower.ffn + 2 * arch.hidden // tower.merge**2) * size


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f} MiB"
