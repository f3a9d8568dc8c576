import math
from typing import Any

import pytest

from catalog.convert.gpt2 import folded_config, is_mask, query_factor, reasons

PLAIN = {"model_type": "gpt2", "n_embd": 2560, "n_head": 20}
BIOMEDLM = {**PLAIN, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": False}


def test_a_plain_gpt2_has_no_reason_and_neither_has_another_model() -> None:
    assert reasons(PLAIN) == []
    assert reasons({"model_type": "llama", "scale_attn_by_inverse_layer_idx": True}) == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [("scale_attn_by_inverse_layer_idx", True), ("reorder_and_upcast_attn", True), ("scale_attn_weights", False)],
)
def test_each_flag_that_vllm_does_not_have_is_a_reason_and_is_gone_from_the_folded_one(flag: str, value: bool) -> None:
    config = {**PLAIN, flag: value, "vocab_size": 28896}
    assert len(reasons(config)) == 1
    folded = folded_config(config)
    assert reasons(folded) == []
    assert {key for key in config if config[key] != folded[key]} == {flag}


def test_only_c_attn_is_multiplied_and_each_layer_by_its_own_factor() -> None:
    assert query_factor("transformer.h.3.attn.c_attn.weight", BIOMEDLM) == 1 / 4
    assert query_factor("h.31.attn.c_attn.bias", BIOMEDLM) == 1 / 32
    assert query_factor("transformer.h.0.attn.c_attn.weight", BIOMEDLM) is None, "the first is divided by one"
    for other in ("transformer.h.3.attn.c_proj.weight", "transformer.h.3.mlp.c_fc.weight", "transformer.wte.weight"):
        assert query_factor(other, BIOMEDLM) is None


def test_without_the_usual_scale_the_root_of_the_head_size_is_multiplied_in() -> None:
    config = {**BIOMEDLM, "scale_attn_weights": False}
    assert query_factor("transformer.h.1.attn.c_attn.weight", config) == pytest.approx(math.sqrt(128) / 2)


def test_masks_are_known_from_the_bias_of_c_attn() -> None:
    assert is_mask("transformer.h.5.attn.bias")
    assert is_mask("h.5.attn.masked_bias")
    assert not is_mask("transformer.h.5.attn.c_attn.bias")


@pytest.mark.vllm
@pytest.mark.parametrize("case", ["inverse layer", "upcast", "unscaled"])
def test_the_folded_model_is_the_same_model(in_vllm: dict[str, Any], case: str) -> None:
    found = in_vllm["fold"][case]
    print({key: found[key] for key in ("spread", "folded", "float16", "unfolded")})
    assert found["folded"] < 2e-5, "rounding of float32 over 32 layers"
    assert found["unfolded"] > 1, "without the fold it is another model"
    assert found["float16"] < 0.02 < found["spread"], "rounding of the weights to 16 bits"
    assert reasons(found["config"]) == []
    assert found["config"]["torch_dtype"] == "float16"
    assert found["needs"][0] is not None
    assert found["needs"][1] is None


@pytest.mark.vllm
def test_the_folded_file_has_vllms_names_neither_masks_nor_the_tied_head_and_16_bits(in_vllm: dict[str, Any]) -> None:
    names, dtypes = in_vllm["fold"]["names"], in_vllm["fold"]["dtypes"]
    assert dtypes == ["torch.float16"]
    assert {"transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f.bias"} < set(names)
    assert len(names) == 32 * 12 + 4
    assert not [name for name in names if is_mask(name) or name == "lm_head.weight"]
