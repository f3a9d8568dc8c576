"""How long a model's context may be by its own config, as vLLM derives it. Pure.

Source: vLLM 0.32, `config/model.py` _get_and_verify_max_len, and `transformers_utils/model_arch_config_convertor.py`
derive_max_model_len_and_key. A test holds it against vLLM's own.
"""

from collections.abc import Mapping
from typing import Any

from catalog.estimate.dimensions import text_of

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_ALREADY_SCALED = frozenset(
    {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope"}
)
"""Kinds of RoPE scaling whose max_position_embeddings is the scaled one, or that do not scale."""
_PADDED = frozenset({"roberta", "xlm-roberta", "camembert"})
"""Their positions begin behind the padding's (`models/roberta.py` replace_roberta_positions), which vLLM's reckoning
leaves out: a context up to max_position_embeddings is taken, and its last tokens have no position."""
_NO_LIMIT = 10**9
"""Tokenizers without a limit carry a huge number in its place."""


def context_limit(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], sentence_length: int | None
) -> tuple[int | None, str]:
    """The longest context in tokens, None if the config says nothing of it, and the key that decides.

    `tokenizer` is tokenizer_config.json, `sentence_length` max_seq_length of sentence-transformers, which rules.
    """
    if sentence_length is not None:
        return sentence_length, "max_seq_length of its sentence_bert_config.json"
    text = text_of(config)
    said = {key: int(text[key]) for key in _KEYS if isinstance(text.get(key), int)}
    if str(text.get("model_type")) in _PADDED and "max_position_embeddings" in said:
        padding = text.get("pad_token_id")
        said["max_position_embeddings"] -= (padding if isinstance(padding, int) else 1) + 1
    if isinstance(text.get("model_max_length"), int):  # Command-R's; it wins where it is there
        said = {"model_max_length": int(text["model_max_length"])}
    length = tokenizer.get("model_max_length")
    if isinstance(length, int | float) and length < _NO_LIMIT:
        said["the tokenizer's model_max_length"] = int(length)
    if not said:
        return None, ""
    key = min(said, key=lambda one: said[one])
    return int(said[key] * _scale(text)), key


def _scale(text: Mapping[str, Any]) -> float:
    """How far RoPE scaling stretches the positions; both spellings of Transformers are read."""
    rope = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(rope, Mapping) or "gemma3" in str(text.get("model_type")):
        return 1.0
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    factor = rope.get("factor")
    return float(factor) if kind not in _ALREADY_SCALED and isinstance(factor, int | float) else 1.0
