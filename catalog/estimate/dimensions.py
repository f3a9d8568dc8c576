"""Finds the dimensions in a config.json, whichever of their names it uses and however little it says. Pure.

A config.json leaves out what is its class's default, above all in the text_config of a multimodal model, so the
defaults stand here. Source: Transformers 5.19, `models/*/configuration_*.py`; the names: vLLM 0.32,
`transformers_utils/model_arch_config_convertor.py`.
"""

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "hidden_size": ("n_embd", "n_embed", "d_model", "dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads", "multi_query_group_num", "num_attention_groups"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim", "decoder_ffn_dim"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length"),
    "vocab_size": ("padded_vocab_size",),
    "num_experts": ("num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k"),
}
_TEXT = ("text_config", "llm_config", "language_config", "thinker_config", "decoder_config")
_SHARED = ("tie_word_embeddings", "torch_dtype", "dtype", "quantization_config", "compression_config", "architectures")
"""Keys that a multimodal config says once, beside its text_config."""

_LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
_MISTRAL = {**_LLAMA, "intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 131072}
_QWEN2 = {**_LLAMA, "intermediate_size": 22016, "num_key_value_heads": 32, "vocab_size": 151936}
_GEMMA3 = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
_BERT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
_VISION = {**_BERT, "image_size": 224}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "mixtral": {**_MISTRAL, "num_experts": 8, "num_experts_per_tok": 2},
    "qwen2": {**_QWEN2, "max_position_embeddings": 32768},
    "qwen3": {**_QWEN2, "max_position_embeddings": 32768, "head_dim": 128},
    "gemma": {**_GEMMA3, "num_key_value_heads": 16, "max_position_embeddings": 8192, "sliding_window": None},
    "gemma2": {**_GEMMA3, "vocab_size": 256000, "max_position_embeddings": 8192},
    "gemma3_text": _GEMMA3,
    "gpt2": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": 50257,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    },
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "modernbert": {
        **_BERT,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "vocab_size": 50368,
        "max_position_embeddings": 8192,
    },
    "gpt_oss": {"sliding_window": 128},
    "phi3": {"sliding_window": None},
    "clip_vision_model": {**_VISION, "patch_size": 32},
    "siglip_vision_model": {**_VISION, "patch_size": 16},
}


def merged(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with `overrides` (--hf-overrides) put in, key by key and into nested objects."""
    together = dict(config)
    for key, value in overrides.items():
        old = together.get(key)
        together[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return together


def text_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `config` that describes the language model, defaults and all, under one set of names."""
    inner = next((config[key] for key in _TEXT if isinstance(config.get(key), Mapping)), None)
    if inner is not None:
        if (deeper := next((inner[key] for key in _TEXT if isinstance(inner.get(key), Mapping)), None)) is not None:
            inner = deeper
        config = {**{key: config[key] for key in _SHARED if key in config}, **inner}
    return with_defaults(config)


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` under one set of names, with its class's defaults where it says nothing."""
    named = dict(config)
    for name, others in _NAMES.items():
        if named.get(name) is None:
            found = next((config[other] for other in others if config.get(other) is not None), None)
            if found is not None:
                named[name] = found[0] if isinstance(found, list) and found else found
    if (alias := config.get("attention")) and isinstance(alias, Mapping):  # modern consolidated spellings
        named = {**alias, **named}
    defaults = DEFAULTS.get(str(config.get("model_type", "")), {})
    return {**defaults, **{key: value for key, value in named.items() if value is not None or key not in _NAMES}}


def count(config: Mapping[str, Any], name: str, default: int = 0) -> int:
    """The whole number at `name`, or `default` where there is none."""
    value = config.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
