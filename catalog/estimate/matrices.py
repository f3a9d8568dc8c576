"""The parameters of a model, counted from its dimensions or named by its tensors, each with its part in it. Pure.

The parts decide what a quantisation touches and how tensor parallelism divides it (vLLM 0.32,
`model_executor/layers/linear.py`, `vocab_parallel_embedding.py`, `fused_moe/layer.py`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from catalog.estimate.architecture import Architecture, Latent, Layer
from catalog.estimate.tower import Tower


class Part(StrEnum):
    """What a matrix is in the model."""

    EMBEDDING = "embedding"
    HEAD = "head"
    LINEAR = "linear"
    KEY_VALUE = "key and value"
    LATENT = "latent"
    EXPERT = "expert"
    ROUTER = "router"
    VECTOR = "vector"
    VISION = "vision"


@dataclass(frozen=True, slots=True)
class Matrix:
    """`count` matrices of `outputs` times `inputs` numbers; `name` is the checkpoints' usual one."""

    part: Part
    name: str
    outputs: int
    inputs: int = 1
    count: int = 1

    @property
    def elements(self) -> int:
        """How many numbers all of them have."""
        return self.outputs * self.inputs * self.count


VOCAB_STEP = 64
"""vLLM pads the vocabulary to a multiple of this (`vocab_parallel_embedding.py`, DEFAULT_VOCAB_PADDING_SIZE)."""

_UNUSED = re.compile(
    r"(rotary_emb\.inv_freq|\.position_ids|(^|\.)(h|layers)\.\d+\.attn\.(masked_)?bias|bias_k|num_batches_tracked)$"
)
"""Buffers that older checkpoints carry and no model of vLLM loads."""

_VISION = re.compile(r"vision|visual|image_newline|multi_modal_projector|mm_projector|patch_embed|(^|\.)mlp1\.")
_EMBEDDING = re.compile(r"(embed_tokens|wte|wpe|tok_embeddings|token_embd|word_embeddings|_embeddings|embed_in)(\.|$)")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.(weight|bias)$")
_ROUTER = re.compile(r"(\.gate|\.router|\.router\.\w+|shared_expert_gate|ffn_gate_inp)\.(weight|bias)$")
_EXPERT = re.compile(r"\.experts\.|_exps\.")
_LATENT = re.compile(r"\.(kv_a_proj_with_mqa|q_a_proj|attn_kv_a_mqa)\.")
_KEY_VALUE = re.compile(r"\.(k_proj|v_proj|attn_k|attn_v|key|value)\.")


def is_loaded(name: str) -> bool:
    """Whether vLLM makes a parameter of the tensor `name`."""
    return _UNUSED.search(name) is None


def part_of(name: str, dimensions: int) -> Part:
    """What the tensor `name` with so many `dimensions` is in the model."""
    if _VISION.search(name):
        return Part.VISION
    patterns = ((_HEAD, Part.HEAD), (_EMBEDDING, Part.EMBEDDING), (_ROUTER, Part.ROUTER), (_EXPERT, Part.EXPERT))
    for pattern, part in patterns:
        if pattern.search(name):
            return part
    if dimensions < 2:
        return Part.VECTOR
    for pattern, part in ((_LATENT, Part.LATENT), (_KEY_VALUE, Part.KEY_VALUE)):
        if pattern.search(name):
            return part
    return Part.LINEAR


def matrices_of(arch: Architecture, *, with_head: bool, with_vision: bool) -> Iterator[Matrix]:
    """The parameters of a model of these dimensions, as its paper and its class in Transformers define them."""
    vocab = -(-arch.vocab // VOCAB_STEP) * VOCAB_STEP
    yield Matrix(Part.EMBEDDING, "model.embed_tokens", vocab, arch.hidden)
    if arch.positions:
        yield Matrix(Part.EMBEDDING, "wpe", arch.positions, arch.hidden)
    if arch.token_types:
        yield Matrix(Part.EMBEDDING, "token_type_embeddings", arch.token_types, arch.hidden)
    if with_head and not arch.is_tied and not arch.is_encoder:
        yield Matrix(Part.HEAD, "lm_head", vocab, arch.hidden)
    for layer in arch.layers:
        yield from _layer(arch, layer)
    yield Matrix(Part.VECTOR, "norm", arch.hidden)
    if with_vision and arch.tower is not None:
        yield from _tower(arch.tower, arch.hidden)


def _layer(arch: Architecture, layer: Layer) -> Iterator[Matrix]:
    vectors = 2 * arch.hidden
    if arch.latent is not None:
        yield from _latent(arch, arch.latent)
    else:
        queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
        yield Matrix(Part.LINEAR, "self_attn.q_proj", queries, arch.hidden)
        yield Matrix(Part.KEY_VALUE, "self_attn.k_proj", keys, arch.hidden, 2)
        yield Matrix(Part.LINEAR, "self_attn.o_proj", arch.hidden, queries)
        if arch.has_bias or arch.model_type.startswith("qwen2"):
            vectors += queries + 2 * keys
    matrices = 3 if arch.is_gated else 2
    if layer.experts:
        yield Matrix(Part.ROUTER, "mlp.gate", layer.experts, arch.hidden)
        yield Matrix(Part.EXPERT, "mlp.experts.0.up_proj", layer.ffn, arch.hidden, layer.experts * (matrices - 1))
        yield Matrix(Part.EXPERT, "mlp.experts.0.down_proj", arch.hidden, layer.ffn, layer.experts)
        if arch.has_bias:
            yield Matrix(Part.EXPERT, "mlp.experts.bias", layer.ffn * 2 + arch.hidden, 1, layer.experts)
    wide = layer.shared_ffn if layer.experts else layer.ffn
    if wide:
        yield Matrix(Part.LINEAR, "mlp.up_proj", wide, arch.hidden, matrices - 1)
        yield Matrix(Part.LINEAR, "mlp.down_proj", arch.hidden, wide)
    if arch.has_bias:
        vectors += 3 * arch.hidden + wide  # the output projection's, the norms' and the MLP's
    yield Matrix(Part.VECTOR, "norms and biases", vectors)


def _latent(arch: Architecture, latent: Latent) -> Iterator[Matrix]:
    """The projections of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, appendix C)."""
    queries = arch.heads * (latent.nope_dim + latent.rope_dim)
    if latent.q_rank:
        yield Matrix(Part.LATENT, "self_attn.q_a_proj", latent.q_rank, arch.hidden)
        yield Matrix(Part.LINEAR, "self_attn.q_b_proj", queries, latent.q_rank)
    else:
        yield Matrix(Part.LINEAR, "self_attn.q_proj", queries, arch.hidden)
    yield Matrix(Part.LATENT, "self_attn.kv_a_proj_with_mqa", latent.kv_rank + latent.rope_dim, arch.hidden)
    keys_and_values = arch.heads * (latent.nope_dim + latent.value_dim)
    yield Matrix(Part.LINEAR, "self_attn.kv_b_proj", keys_and_values, latent.kv_rank)
    yield Matrix(Part.LINEAR, "self_attn.o_proj", arch.hidden, arch.heads * latent.value_dim)


def _tower(tower: Tower, hidden: int) -> Iterator[Matrix]:
    wide, merged = tower.hidden, tower.hidden * tower.merge**2
    matrices = 3 if tower.is_gated else 2
    yield Matrix(Part.VISION, "vision_tower.patch_embedding", wide, 3 * tower.patch**2)
    if tower.has_positions:
        yield Matrix(Part.VISION, "vision_tower.position_embedding", tower.tokens_per_item + 1, wide)
    yield Matrix(Part.VISION, "vision_tower.self_attn", wide, wide, 4 * tower.layers)
    yield Matrix(Part.VISION, "vision_tower.mlp", wide, tower.ffn, matrices * tower.layers)
    yield Matrix(Part.VISION, "vision_tower.norms and biases", 9 * wide + tower.ffn, 1, tower.layers)
    inner = merged if tower.merge > 1 else hidden
    yield Matrix(Part.VISION, "multi_modal_projector.1", inner, merged)
    if tower.projector_matrices > 1:
        yield Matrix(Part.VISION, "multi_modal_projector.2", hidden, inner)
