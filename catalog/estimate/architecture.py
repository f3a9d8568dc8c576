"""From a config.json to the typed dimensions of a model: every layer, the vision tower, the vocabulary. Pure.

Which layers look back how far: vLLM 0.32, `engine/arg_utils.py` create_engine_config (one window for all layers where
there are no layer_types) and the models' own files; Transformers 5.19 for the patterns that a class adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.estimate.context_limit import context_limit
from catalog.estimate.dimensions import count, merged, text_of
from catalog.estimate.pattern import RECURRENT, is_regular, kinds_of
from catalog.estimate.tower import Tower, tower_of

MLA_TYPES = frozenset({"deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_linear", "glm_moe_dsa"}) | {
    *("glm4_moe_lite", "longcat_flash", "pangu_ultra_moe", "bailing_hybrid", "deepseek2")
}
"""model_types whose attention keeps one latent vector a token (vLLM 0.32, is_deepseek_mla)."""

ENCODER_TYPES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "modernbert", "nomic_bert", "new", "mpnet"})
_PLAIN_MLP = frozenset({"gpt2", "opt", "gpt_neox", "falcon", "bloom", "phi", "gpt_bigcode", "starcoder2", "mpt"}) | {
    *("gptj", "bert", "roberta", "xlm-roberta", "camembert", "mpnet", "clip_vision_model", "siglip_vision_model")
}
"""model_types whose MLP has two matrices; all others have a gate, and three."""

_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2}
"""model_types that look back without a limit in every so manieth layer only, where layer_types do not say."""

TIED = frozenset(
    {"gpt2", "gpt-sw3", "gpt_bigcode", "gpt_neo", "openai-gpt", "opt", "bloom", "xglm", "mpt", "falcon"}
) | {
    *("cohere", "cohere2", "cohere2_moe", "starcoder2", "smollm3", "minicpm3", "ernie4_5", "ernie4_5_moe", "jetmoe"),
    *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "vaultgemma"),
    *("recurrent_gemma", "lfm2", "lfm2_moe", "mamba", "falcon_mamba", "zamba", "zamba2", "granite_swa", "biogpt"),
    *("bart", "mbart", "t5", "mt5", "umt5", "whisper", "m2m_100", "marian", "pegasus"),
}
"""model_types whose head is the embedding where a config does not say (Transformers 5.19, tie_word_embeddings)."""

_TWO_STACKS = frozenset({"t5", "mt5", "umt5", "bart", "mbart", "whisper", "m2m_100", "marian", "pegasus"})
"""model_types of an encoder and a decoder, where a config does not say (is_encoder_decoder)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `window_tokens` is how far its attention looks back (None: all the way), `is_recurrent` that it keeps
    a state of a fixed size instead of keys and values; `experts` is 0 for a dense MLP of `ffn` columns.
    """

    window_tokens: int | None
    is_recurrent: bool
    experts: int
    ffn: int
    shared_ffn: int = 0


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): the ranks and the parts of a head."""

    kv_rank: int
    q_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """The dimensions of a model. `max_positions` is the longest context it can have (None: not said).

    `has_cross_attention` is of an encoder and a decoder; `is_regular` is that all layers are attention with an MLP, so
    that parameters can be counted.
    """

    name: str
    model_type: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    layers: tuple[Layer, ...]
    vocab: int
    positions: int
    token_types: int
    max_positions: int | None
    is_tied: bool
    is_encoder: bool
    is_gated: bool
    has_bias: bool
    experts_per_token: int
    latent: Latent | None
    tower: Tower | None
    dtype: str
    quantisation: Mapping[str, Any]
    has_cross_attention: bool
    is_regular: bool

    @property
    def is_known(self) -> bool:
        """Whether the config says enough to count parameters and keys and values."""
        return bool(self.hidden and self.heads and self.layers and self.vocab)


def architecture_of(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Architecture:
    """The dimensions that `config`, with `overrides` put in, describes."""
    whole = merged(config, overrides)
    text = text_of(whole)
    kind = str(text.get("model_type", ""))
    names = [*_listed(whole.get("architectures")), *_listed(text.get("architectures")), kind or "unknown"]
    hidden, heads = count(text, "hidden_size"), count(text, "num_attention_heads")
    kv_heads = 1 if text.get("multi_query") else count(text, "num_key_value_heads", heads)
    has_positions = kind in {"gpt2", "opt", "bert", "roberta", "xlm-roberta", "gpt_bigcode", "camembert"}
    max_positions, _ = context_limit(whole, {}, None)
    kinds = kinds_of(text, kind, count(text, "num_hidden_layers"))
    has_cross_attention = bool(whole.get("is_encoder_decoder", kind in _TWO_STACKS))
    return Architecture(
        name=str(names[0]),
        model_type=kind,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=count(text, "head_dim") or (hidden // heads if heads else 0),
        layers=tuple(_layer(text, kind, index, kinds) for index in range(len(kinds))),
        vocab=count(text, "vocab_size"),
        positions=count(text, "max_position_embeddings") if has_positions else 0,
        token_types=count(text, "type_vocab_size") if kind in ENCODER_TYPES else 0,
        max_positions=max_positions,
        is_tied=bool(text.get("tie_word_embeddings", kind in TIED)),
        is_encoder=kind in ENCODER_TYPES,
        is_gated=kind not in _PLAIN_MLP,
        has_bias=kind in {"gpt2", "bert", "roberta", "xlm-roberta", "opt", "gpt_neox", "gpt_oss", "starcoder2"},
        experts_per_token=count(text, "num_experts_per_tok", 1),
        latent=_latent(text, kind),
        tower=tower_of(whole),
        dtype=_dtype(whole, text),
        quantisation=_quantisation(whole, text),
        has_cross_attention=has_cross_attention,
        is_regular=is_regular(kinds) and not has_cross_attention,
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _layer(text: Mapping[str, Any], kind: str, index: int, kinds: tuple[str | None, ...]) -> Layer:
    named, total = kinds[index], len(kinds)
    experts = count(text, "num_experts")
    ffn = count(text, "intermediate_size") or 4 * count(text, "hidden_size")
    expert_ffn = count(text, "moe_intermediate_size") or ffn
    if kind == "phimoe":
        expert_ffn = ffn
    shared = count(text, "shared_expert_intermediate_size") or count(text, "n_shared_experts") * expert_ffn
    step = count(text, "decoder_sparse_step", 1)
    if kind == "llama4_text":
        # Every so manieth layer has experts and a shared one as wide as they are; the others have an MLP of another
        # width (Transformers 5.19, Llama4TextConfig, Llama4TextDecoderLayer).
        step, shared, ffn = count(text, "interleave_moe_layer_step", 1), ffn, count(text, "intermediate_size_mlp", ffn)
    is_dense = (
        experts == 0
        or index < count(text, "first_k_dense_replace")
        or index in _listed(text.get("mlp_only_layers"))
        or (index + 1) % max(step, 1) != 0
        or index % max(count(text, "moe_layer_freq", 1), 1) != 0
    )
    window = _window(text, kind, index, total, named)
    is_recurrent = named in RECURRENT
    return Layer(window, is_recurrent, 0, ffn) if is_dense else Layer(window, is_recurrent, experts, expert_ffn, shared)


def _window(text: Mapping[str, Any], kind: str, index: int, total: int, named: str | None) -> int | None:
    window = count(text, "sliding_window")
    if named == "chunked_attention":
        return count(text, "attention_chunk_size") or None
    if named is not None:
        return window or None if named in ("sliding_attention", "attention") else None
    if not window or text.get("use_sliding_window") is False:
        return None
    if kind.startswith("qwen"):
        # Off unless it is asked for, and then from a layer on (Transformers, Qwen2Config).
        return window if text.get("use_sliding_window") and index >= count(text, "max_window_layers", total) else None
    if kind in _PATTERNS:
        every = count(text, "sliding_window_pattern", _PATTERNS[kind])
        return window if (index + 1) % max(every, 1) else None
    return window


def _latent(text: Mapping[str, Any], kind: str) -> Latent | None:
    if kind not in MLA_TYPES or not count(text, "kv_lora_rank"):
        return None
    rope = count(text, "qk_rope_head_dim") or count(text, "rope_dimension_count", 64)
    return Latent(
        kv_rank=count(text, "kv_lora_rank"),
        q_rank=count(text, "q_lora_rank"),
        rope_dim=rope,
        nope_dim=count(text, "qk_nope_head_dim", 128),
        value_dim=count(text, "v_head_dim", 128),
    )


def _dtype(whole: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    vision = whole.get("vision_config")
    places = (whole, text, vision if isinstance(vision, Mapping) else {})
    said = next((str(place[key]) for place in places for key in ("dtype", "torch_dtype") if place.get(key)), "")
    return said.removeprefix("torch.")


def _quantisation(whole: Mapping[str, Any], text: Mapping[str, Any]) -> Mapping[str, Any]:
    for place in (whole, text):
        for key in ("quantization_config", "compression_config"):
            if isinstance(found := place.get(key), Mapping):
                return found
    return {}
