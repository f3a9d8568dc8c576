"""What weights take on each device, as vLLM holds them: from the tensors where they are known, else counted. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from catalog.estimate.architecture import Architecture
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.flags import Flags
from catalog.estimate.matrices import Matrix, Part, is_loaded, matrices_of, part_of
from catalog.estimate.quantisation import Scheme, online_scheme, scheme_of
from catalog.estimate.tensors import Tensor
from catalog.spec import GIB

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_REPACKED = frozenset({Part.LINEAR, Part.KEY_VALUE, Part.LATENT, Part.EXPERT})
"""Parts whose quantised matrices kernels put into an order of their own (vLLM 0.32, process_weights_after_loading)."""

_SIDE = re.compile(r"scale|absmax|quant_map")
"""Tensors beside quantised weights that stay in 32 bits."""

_ALIKE = 0.05
"""How far a count may be from the files' size without a word."""

_REPLICATED = frozenset({Part.VECTOR, Part.ROUTER, Part.LATENT})
"""Parts that every device of a tensor-parallel engine has whole."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes on each device; `repacked_bytes` is the most that is there twice while kernels repack quantised matrices,
    layer by layer; with the words for people.
    """

    bytes: int
    repacked_bytes: int
    words: str
    source: str
    assumed: tuple[str, ...] = ()


def float_bytes(arch: Architecture, dtype: str) -> int:
    """What one unquantised number takes: `auto` gives 16 bits on a GPU whatever the checkpoint has.

    Source: vLLM 0.32, `config/model.py` _resolve_auto_dtype: a float32 checkpoint is cast down.
    """
    return 4 if dtype in ("float", "float32") else 2


def weights_of(checkpoint: Checkpoint, arch: Architecture, flags: Flags) -> Weights:
    """The weights, from the best that is known of them. Zero bytes, said in `assumed`, where nothing is."""
    online = online_scheme(flags.quantization or "") if not arch.quantisation else None
    if checkpoint.tensors:
        return _from_tensors(checkpoint.tensors, arch, flags, online)
    if arch.is_known and arch.is_regular:
        counted = _from_dimensions(arch, flags, online)
        return replace(counted, assumed=(*counted.assumed, *_disagreement(arch, checkpoint.total_bytes)))
    if checkpoint.total_bytes:
        halved = checkpoint.total_bytes // 2 if arch.dtype == "float32" and not arch.quantisation else None
        total_bytes = (halved or checkpoint.total_bytes) // flags.device_count
        words = "all files of weights" + (", cast from 32 to 16 bits" if halved else "")
        assumed = (f"{arch.name} is not known here: weights as large as their files",)
        return Weights(total_bytes, 0, words, "the files' sizes", assumed)
    why = "neither dimensions nor files are known: weights are not counted"
    if arch.is_known:
        why = f"{arch.name} has more than attention and an MLP: weights are not counted before its files are known"
    return Weights(0, 0, "nothing is known", "", (why,))


def _from_tensors(tensors: Mapping[str, Tensor], arch: Architecture, flags: Flags, online: Scheme | None) -> Weights:
    size = float_bytes(arch, flags.dtype)
    stored = scheme_of(arch.quantisation)
    total, repacked = 0.0, 0
    for name, tensor in tensors.items():
        part = part_of(name, len(tensor.shape))
        if not _is_kept(name, part, arch, flags, stored):
            continue
        if (stored or online) is not None and part in _REPACKED:
            repacked = max(repacked, tensor.bytes * _of_a_layer(arch, part, tensor))
        matrix = Matrix(
            part, name, tensor.shape[0] if tensor.shape else 1, tensor.elements // (tensor.shape or (1,))[0]
        )
        if online is not None and tensor.dtype in _FLOATS and online.touches(matrix):
            held = online.bytes_of(matrix)
        else:
            held = _held(name, tensor, size, is_quantised=bool(arch.quantisation))
        total += held * _share(part, arch, flags.device_count) * _padding(part, arch, stored)
    total += _unfolded(arch, flags, size) if stored or online else 0
    scheme = online or stored
    words = f"{len(tensors)} tensors, {scheme.said if scheme else f'{8 * size} bits a number'}"
    source = "the checkpoint's headers" + (f"; {scheme.source}" if scheme else "; vLLM 0.32, config/model.py (dtype)")
    return Weights(round(total), repacked // flags.device_count, words, source)


def _from_dimensions(arch: Architecture, flags: Flags, online: Scheme | None) -> Weights:
    size = float_bytes(arch, flags.dtype)
    scheme = online or scheme_of(arch.quantisation)
    total, repacked, elements = 0.0, 0, 0
    with_vision = not _is_blind(arch, flags)
    for matrix in matrices_of(arch, with_head=not flags.embedder, with_vision=with_vision):
        is_quantised = scheme is not None and scheme.touches(matrix)
        held = scheme.bytes_of(matrix) if scheme is not None and is_quantised else matrix.elements * size
        total += held * _share(matrix.part, arch, flags.device_count) * _padding(matrix.part, arch, scheme)
        if is_quantised:
            repacked = max(repacked, held if matrix.part is Part.EXPERT else held // matrix.count)
        elements += matrix.elements
    total += _unfolded(arch, flags, size) if scheme else 0
    what = f"{scheme.said}, the rest {8 * size} bits a number" if scheme else f"{8 * size} bits each"
    words = f"{elements / 1e9:.2f} billion parameters, {what}"
    assumed = ["tensors are not known: parameters are counted from config.json"]
    if arch.quantisation and scheme is None:
        method = arch.quantisation.get("quant_method", "of no name")
        assumed.append(f"the quantisation {method} is not known here: counted as if there were none")
    source = "the model class's matrices" + (f"; {scheme.source}" if scheme else "")
    return Weights(round(total), repacked // flags.device_count, words, source, tuple(assumed))


def _disagreement(arch: Architecture, total_bytes: int | None) -> tuple[str, ...]:
    """In words, if the files' size is another than what config.json gives: then one of them is not what it seems."""
    if not total_bytes:
        return ()
    counted = _from_dimensions(arch, Flags(max_model_len=1), None).bytes
    # Unquantised weights may be stored in 32 bits; a config that does not say it may mean either.
    widths = {"float32": (2,), "": (1, 2)}.get(arch.dtype, (1,)) if not arch.quantisation else (1,)
    nearest = min((counted * width for width in widths), key=lambda size: abs(total_bytes - size))
    if abs(total_bytes - nearest) <= _ALIKE * total_bytes:
        return ()
    sizes = f"its files are {total_bytes / GIB:.2f} GiB, and what config.json gives is {nearest / GIB:.2f}"
    return (f"{sizes}: the count is off by {nearest / total_bytes - 1:+.0%}, or not all files are its weights",)


def _is_kept(name: str, part: Part, arch: Architecture, flags: Flags, stored: Scheme | None) -> bool:
    """Whether vLLM has the tensor `name` in memory once it serves."""
    if not is_loaded(name):
        return False
    if part is Part.HEAD:
        # An engine for embeddings makes no head (vLLM 0.32, `models/adapters.py`), a tied one is the embedding.
        return not arch.is_tied and not flags.embedder
    if part is Part.VISION:
        return not _is_blind(arch, flags)
    if stored is not None and stored.name == "GPTQ":
        is_zero, is_order = name.endswith(".qzeros"), name.endswith(".g_idx")
        return not (is_zero and stored.is_symmetric) and not (is_order and not stored.has_order)
    return True


def _is_blind(arch: Architecture, flags: Flags) -> bool:
    return flags.is_blind(sees_videos=arch.tower is not None and arch.tower.sees_videos)


def _held(name: str, tensor: Tensor, size: int, *, is_quantised: bool) -> int:
    """Bytes of one tensor once it is loaded: floats are cast to the engine's dtype, but for scales."""
    if tensor.dtype not in _FLOATS or (is_quantised and tensor.dtype == "F32" and _SIDE.search(name)):
        return tensor.bytes
    return size * tensor.elements


def _share(part: Part, arch: Architecture, devices: int) -> float:
    """The share of a part that each of `devices` holds (vLLM 0.32, `layers/linear.py`, QKVParallelLinear)."""
    if devices == 1 or part in _REPLICATED:
        return 1.0
    if part is Part.KEY_VALUE and arch.kv_heads:
        return max(1 / devices, 1 / arch.kv_heads)
    return 1 / devices


def _of_a_layer(arch: Architecture, part: Part, tensor: Tensor) -> int:
    """How many tensors like this are repacked at once: of experts that come one by one, all of a layer."""
    if part is not Part.EXPERT or len(tensor.shape) > 2:
        return 1
    return 2 * max((layer.experts for layer in arch.layers), default=1)


def _padding(part: Part, arch: Architecture, scheme: Scheme | None) -> float:
    if scheme is None or part is not Part.EXPERT:
        return 1.0
    return scheme.padding(arch.hidden, next((layer.ffn for layer in arch.layers if layer.experts), 0))


def _unfolded(arch: Architecture, flags: Flags, size: int) -> int:
    """A quantised latent projection is kept unquantised too (vLLM 0.32, `attention/mla_attention.py`, W_UV, W_UK_T)."""
    if (latent := arch.latent) is None:
        return 0
    columns = arch.heads * (latent.nope_dim + latent.value_dim) // flags.device_count
    return len(arch.layers) * columns * latent.kv_rank * size
