"""How long a model's context may be by its own config, as vLLM derives it. Pure.

Source: vLLM 0.32, `config/model.py` _get_and_verify_max_len, and `transformers_utils/model_arch_config_convertor.py`
derive_max_model_len_and_key. A test holds it against vLLM's own.
"""

from collections.abc import Mapping
from typing import Any

from catalog.render import canonical_flag

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_ALREADY_SCALED = frozenset(
    {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope"}
)
"""Kinds of RoPE scaling whose max_position_embeddings is the scaled one, or that do not scale."""
_UNSAID = {"llama": 2048}
"""What Transformers takes where a config of 2023 says nothing: LlamaConfig's default."""
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config")


def context_limit(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], sentence_length: int | None
) -> tuple[int | None, str]:
    """The longest context in tokens, None if the config says nothing of it, and the key that decides.

    `tokenizer` is tokenizer_config.json, `sentence_length` max_seq_length of sentence-transformers, which rules.
    """
    text = text_config(config)
    said = {key: int(text[key]) for key in _KEYS if isinstance(text.get(key), int)}
    key = min(said, key=lambda one: said[one], default="")
    if "model_max_length" in said:
        key = "model_max_length"
    if not key and (unsaid := _UNSAID.get(str(text.get("model_type")))) is not None:
        said, key = {"max_position_embeddings": unsaid}, "max_position_embeddings"
    limit = said.get(key)
    length = tokenizer.get("model_max_length")
    if isinstance(length, int | float) and (limit is None or length < limit):
        # Tokenizers without a limit carry a huge number in its place.
        limit, key = (int(length), "the tokenizer's model_max_length") if length < 10**9 else (limit, key)
    if limit is not None:
        limit = int(limit * _scale(text))
    if sentence_length is not None:
        limit, key = sentence_length, "max_seq_length of its sentence_bert_config.json"
    return limit, key


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of `config` that is the language model's: all of it unless there are several."""
    return next((config[key] for key in _TEXT_CONFIGS if isinstance(config.get(key), Mapping)), config)


def overridden(config: Mapping[str, Any], vllm_args: Mapping[str, Any]) -> dict[str, Any]:
    """`config` as vLLM sees it, with the flag --hf-overrides applied: parts of it are merged, all else replaced."""
    given = [value for flag, value in vllm_args.items() if canonical_flag(flag) == "hf-overrides"]
    return _merged(config, given[0]) if given and isinstance(given[0], Mapping) else dict(config)


def _merged(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(config)
    for key, value in given.items():
        part = merged.get(key)
        merged[key] = _merged(part, value) if isinstance(part, Mapping) and isinstance(value, Mapping) else value
    return merged


def _scale(text: Mapping[str, Any]) -> float:
    """How far RoPE scaling stretches max_position_embeddings; both spellings of Transformers are read."""
    rope = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(rope, Mapping) or "gemma3" in str(text.get("model_type")):
        return 1.0
    kind = rope.get("rope_type", rope.get("type", "default"))
    factor = rope.get("factor")
    return float(factor) if kind not in _ALREADY_SCALED and isinstance(factor, int | float) else 1.0
