from typing import Any

import pytest

from catalog.estimate.matrices import Matrix, Part
from catalog.estimate.quantisation import Scheme, online_scheme, scheme_of

LINEAR = Matrix(Part.LINEAR, "mlp.up_proj", 1024, 4096)


def bits(scheme: Scheme | None) -> float:
    """Of one weight, with what is beside it."""
    assert scheme is not None
    return 8 * scheme.bytes_of(LINEAR) / LINEAR.elements


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + (16 + 4) / 128),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, 4 + (16 + 4) / 64),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False}, 4 + (16 + 4) / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, 4 + 16 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8 + 16 / 4096),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128 / 128),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 4 + 8.125 / 64),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8 + 32 / 4096),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8),
        ({"quant_method": "nvfp4"}, 4.5),
        ({"quant_method": "hqq", "nbits": 3, "group_size": 64}, 3 + 19 / 64),
    ],
)
def test_the_bits_of_a_weight_are_those_of_its_method(config: dict[str, Any], expected: float) -> None:
    assert bits(scheme_of(config)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "more", "expected"),
    [
        ({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}, {}, 4 + 16 / 128),
        ({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": False}, {}, 4 + 20 / 128),
        ({"num_bits": 8, "type": "float", "strategy": "channel"}, {}, 8 + 16 / 4096),
        ({"num_bits": 8, "type": "float", "strategy": "tensor"}, {}, 8),
        ({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}, {}, 8 + 32 / 128 / 128),
        (
            {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
            {"format": "nvfp4-pack-quantized"},
            4.5,
        ),
    ],
)
def test_compressed_tensors_say_it_in_groups(weights: dict[str, Any], more: dict[str, Any], expected: float) -> None:
    told = scheme_of({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}, **more})
    assert bits(told) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("config", [{}, {"quant_method": "gguf"}, {"quant_method": "quark"}, {"config_groups": {}}])
def test_what_does_not_say_enough_is_no_scheme(config: dict[str, Any]) -> None:
    assert scheme_of(config) is None
    assert scheme_of({"quant_method": "compressed-tensors", "config_groups": {}}) is None


def test_embeddings_heads_norms_and_gates_stay_as_they_are() -> None:
    scheme = scheme_of({"quant_method": "awq"})
    assert scheme is not None
    touched = {part for part in Part if scheme.touches(Matrix(part, "x", 8, 8))}
    assert touched == {Part.LINEAR, Part.KEY_VALUE, Part.LATENT, Part.EXPERT}


def test_a_checkpoints_own_exceptions_count() -> None:
    plain = scheme_of({"quant_method": "awq", "modules_to_not_convert": ["self_attn"]})
    pattern = scheme_of({"quant_method": "fp8", "ignore": ["re:.*down_proj", "re:(", "lm_head"]})
    assert plain is not None
    assert pattern is not None
    attention, down = Matrix(Part.LINEAR, "self_attn.q_proj", 8, 8), Matrix(Part.LINEAR, "mlp.down_proj", 8, 8)
    assert [plain.touches(attention), plain.touches(down)] == [False, True]
    assert [pattern.touches(attention), pattern.touches(down)] == [True, False]


def test_mxfp4_is_for_experts_and_padded_to_marlins_tiles() -> None:
    scheme = scheme_of({"quant_method": "mxfp4"})
    assert scheme is not None
    assert not scheme.touches(LINEAR)
    assert scheme.touches(Matrix(Part.EXPERT, "mlp.experts.0.up_proj", 8, 8))
    assert scheme.padding(2880, 2880) == pytest.approx(3072 * 2944 / 2880**2)
    assert scheme.padding(0, 0) == 1


def test_online_quantisation_is_of_weights_that_come_without() -> None:
    assert bits(online_scheme("fp8")) == 8
    assert bits(online_scheme("bitsandbytes")) == 4.5
    assert online_scheme("awq") is None
    assert online_scheme("") is None


def test_a_scheme_says_what_it_is() -> None:
    told = scheme_of({"quant_method": "awq", "bits": 4, "group_size": 128})
    assert told is not None
    assert told.said == "AWQ, 4 bits, groups of 128"
    assert "arXiv:2306.00978" in told.source
