from typing import Any

import pytest

from catalog.estimate.pattern import RECURRENT, is_regular, kinds_of


@pytest.mark.parametrize(
    ("kind", "text", "attention"),
    [
        ("qwen3_next", {}, [3, 7]),
        ("qwen3_5_moe_text", {"full_attention_interval": 2}, [1, 3, 5, 7]),
        ("jamba", {}, [4]),
        ("jamba", {"attn_layer_period": 4, "attn_layer_offset": 1}, [1, 5]),
        ("bamba", {"attn_layer_indices": [2]}, [2]),
        ("lfm2", {"full_attn_idxs": [0, 6]}, [0, 6]),
        ("nemotron_h", {"hybrid_override_pattern": "M-M*ME-*"}, [3, 7]),
        ("minimax_text_01", {"attn_type_list": [0, 0, 0, 1, 0, 0, 0, 1]}, [3, 7]),
        ("kimi_linear", {"linear_attn_config": {"full_attn_layers": [4, 8]}}, [3, 7]),
        ("granitemoehybrid", {"layers_block_type": ["mamba", "attention"] * 4}, [1, 3, 5, 7]),
        ("recurrent_gemma", {"block_types": ["recurrent", "recurrent", "attention"]}, [2, 5]),
        ("falcon_mamba", {}, []),
    ],
)
def test_a_hybrid_keeps_keys_and_values_in_some_layers(kind: str, text: dict[str, Any], attention: list[int]) -> None:
    kinds = kinds_of(text, kind, 8)
    assert [index for index, one in enumerate(kinds) if one not in RECURRENT] == attention
    assert not is_regular(kinds)


def test_layers_with_both_have_attention_and_are_not_regular() -> None:
    assert kinds_of({}, "falcon_h1", 2) == ("hybrid", "hybrid")
    assert kinds_of({"hybrid_layer_ids": [1]}, "zamba2", 3) == ("mamba", "hybrid", "mamba")
    assert not is_regular(("hybrid",))


def test_what_is_listed_rules_and_what_is_not_said_is_as_its_class_has_it() -> None:
    assert kinds_of({"layer_types": ["full_attention"]}, "qwen3_next", 2) == ("full_attention", None)
    assert kinds_of({}, "llama", 2) == (None, None)
    assert is_regular(kinds_of({}, "llama", 2))
    assert is_regular(("sliding_attention", "full_attention"))
