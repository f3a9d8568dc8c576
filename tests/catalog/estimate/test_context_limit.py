"""That it is vLLM's own is shown in test_vllm_config_check; here is what vLLM is not asked about there."""

from typing import Any

import pytest

from catalog.estimate.context_limit import context_limit

LLAMA = {"model_type": "llama", "max_position_embeddings": 2048}


@pytest.mark.parametrize(
    ("config", "limit", "key"),
    [
        (LLAMA, 2048, "max_position_embeddings"),
        ({"model_type": "llama"}, 2048, "max_position_embeddings"),
        ({**LLAMA, "max_sequence_length": 1024}, 1024, "max_sequence_length"),
        ({**LLAMA, "model_max_length": 8192}, 8192, "model_max_length"),
        ({"model_type": "llava", "text_config": LLAMA}, 2048, "max_position_embeddings"),
        ({**LLAMA, "rope_scaling": {"type": "linear", "factor": 2}}, 4096, "max_position_embeddings"),
        ({**LLAMA, "rope_parameters": {"rope_type": "dynamic", "factor": 2}}, 4096, "max_position_embeddings"),
        ({**LLAMA, "rope_scaling": {"rope_type": "llama3", "factor": 8}}, 2048, "max_position_embeddings"),
        ({**LLAMA, "model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8}}, 2048, "max_"),
    ],
)
def test_the_limit_is_the_smallest_that_the_config_says_stretched_where_it_is_not_yet(
    config: dict[str, Any], limit: int, key: str
) -> None:
    found, why = context_limit(config, {}, None)
    assert found == limit
    assert why.startswith(key)


def test_a_tokenizer_may_set_it_lower_and_sentence_transformers_rules() -> None:
    assert context_limit(LLAMA, {"model_max_length": 512}, None) == (512, "the tokenizer's model_max_length")
    assert context_limit(LLAMA, {"model_max_length": 1e30}, None)[0] == 2048
    assert context_limit(LLAMA, {"model_max_length": 512}, 1024)[0] == 1024


def test_where_nothing_is_said_nothing_is_known() -> None:
    assert context_limit({"model_type": "of-tomorrow"}, {}, None) == (None, "")
