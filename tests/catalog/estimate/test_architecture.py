import json
import subprocess
from typing import Any

import pytest

from catalog.estimate.architecture import TIED, Architecture, architecture_of
from tests.catalog.estimate.asked import BERT, DEEPSEEK
from tests.catalog.estimate.configurations import BIMEDIX2, BIOMEDLM, LLAMA_8B, MIXTRAL, QWEN3_MOE, QWEN_14B, llama
from tests.installation import CHECKOUT


def of(config: dict[str, Any], **overrides: Any) -> Architecture:
    return architecture_of(config, overrides)


def windows(arch: Architecture) -> list[int | None]:
    return [layer.window_tokens for layer in arch.layers]


def test_the_dimensions_of_a_dense_model_are_read() -> None:
    arch = of(LLAMA_8B)
    assert (arch.hidden, arch.heads, arch.kv_heads, arch.head_dim, len(arch.layers)) == (4096, 32, 8, 128, 32)
    assert arch.is_known
    assert arch.is_gated
    assert not arch.is_tied
    assert arch.max_positions == 131072


def test_a_config_without_dimensions_is_not_known_and_no_crash() -> None:
    arch = of({"architectures": ["MambaForCausalLM"], "model_type": "mamba", "d_model": 64})
    assert not arch.is_known
    assert arch.name == "MambaForCausalLM"
    assert of({}).name == "unknown"


def test_gpt2_has_learned_positions_two_matrices_a_mlp_and_a_tied_head() -> None:
    arch = of(BIOMEDLM)
    assert (arch.positions, arch.is_gated, arch.is_tied, arch.has_bias) == (1024, False, True, True)
    assert arch.layers[0].ffn == 4 * 2560
    assert arch.max_positions == 1024


def test_experts_are_in_the_layers_that_have_them() -> None:
    assert {(layer.experts, layer.ffn) for layer in of(MIXTRAL).layers} == {(8, 14336)}
    assert {(layer.experts, layer.ffn) for layer in of(QWEN3_MOE).layers} == {(128, 768)}
    first, second, *_ = of(DEEPSEEK).layers
    assert (first.experts, first.ffn) == (0, 10944)
    assert (second.experts, second.ffn, second.shared_ffn) == (64, 1408, 2816)
    every_other = of({**QWEN3_MOE, "decoder_sparse_step": 2, "mlp_only_layers": [1]})
    assert [layer.experts for layer in every_other.layers[:4]] == [0, 0, 0, 128]


def test_latent_attention_is_recognised_by_type_and_rank() -> None:
    latent = of(DEEPSEEK).latent
    assert latent is not None
    assert (latent.kv_rank, latent.rope_dim, latent.q_rank) == (512, 64, 0)
    assert of({**LLAMA_8B, "kv_lora_rank": 512}).latent is None


def test_which_layers_look_back_how_far() -> None:
    assert set(windows(of({**MIXTRAL, "sliding_window": 4096}))) == {4096}
    assert set(windows(of({**MIXTRAL, "sliding_window": 4096}, sliding_window=None))) == {None}
    assert windows(of(llama(64, 64, 4, 2, 2, 64, model_type="gemma2", sliding_window=8))) == [8, None, 8, None]
    gemma3 = of(llama(64, 64, 7, 2, 2, 64, model_type="gemma3_text", sliding_window=8))
    assert windows(gemma3) == [8, 8, 8, 8, 8, None, 8]
    named = ["full_attention", "sliding_attention", "chunked_attention"]
    told = of(llama(64, 64, 3, 2, 2, 64, layer_types=named, sliding_window=8, attention_chunk_size=16))
    assert windows(told) == [None, 8, 16]


def test_qwen2_looks_back_without_a_limit_unless_it_is_asked_to() -> None:
    assert set(windows(of({**QWEN_14B, "sliding_window": 4096, "use_sliding_window": False}))) == {None}
    asked = {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 47}
    assert windows(of({**QWEN_14B, **asked})).count(8) == 1


def test_a_layer_that_keeps_a_state_is_no_attention() -> None:
    told = of(llama(64, 64, 2, 2, 2, 64, layer_types=["linear_attention", "full_attention"]))
    assert [layer.is_recurrent for layer in told.layers] == [True, False]


def test_a_vision_tower_is_loaded_as_far_as_it_is_used() -> None:
    tower = of(BIMEDIX2).tower
    assert tower is not None
    assert (tower.hidden, tower.layers, tower.tokens_per_item) == (1024, 23, 576)
    assert of(LLAMA_8B).tower is None


def test_an_encoder_is_one() -> None:
    arch = of(BERT)
    assert (arch.is_encoder, arch.token_types, arch.positions) == (True, 2, 512)


@pytest.mark.parametrize(
    ("more", "limit"),
    [
        ({}, 1000),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 4000),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 1000),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 1000),
        ({"model_type": "xlm-roberta", "pad_token_id": 1}, 998),
    ],
)
def test_the_longest_context_is_vllms_own_reckoning(more: dict[str, Any], limit: int) -> None:
    assert of({**LLAMA_8B, "max_position_embeddings": 1000, **more}).max_positions == limit


def test_the_quantisation_may_stand_in_the_text_config() -> None:
    told = of({"model_type": "llava", "text_config": {**LLAMA_8B, "quantization_config": {"quant_method": "awq"}}})
    assert told.quantisation == {"quant_method": "awq"}
    assert told.dtype == "bfloat16"


def test_experts_and_a_mlp_may_take_turns() -> None:
    """Llama-4-Maverick: every other layer has experts, and one of their width that all share."""
    text = {"model_type": "llama4_text", "num_hidden_layers": 2, "interleave_moe_layer_step": 2, "num_local_experts": 8}
    dense, sparse = of({**text, "intermediate_size": 8192, "intermediate_size_mlp": 16384}).layers
    assert (dense.experts, dense.ffn) == (0, 16384)
    assert (sparse.experts, sparse.ffn, sparse.shared_ffn) == (8, 8192, 8192)


@pytest.mark.vllm
def test_which_heads_are_tied_by_default_is_as_transformers_has_it() -> None:
    untied = {
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "phi3",
        "gpt_neox",
        "gptj",
        "glm4",
        "deepseek_v3",
        "jamba",
        "gpt_oss",
    }
    code = (
        "import json, sys; from transformers import AutoConfig;"
        "kinds = json.load(sys.stdin);"
        "print(json.dumps([k for k in kinds if AutoConfig.for_model(k).tie_word_embeddings]))"
    )
    python = CHECKOUT / ".venv-vllm/bin/python"
    asked = json.dumps(sorted(TIED | untied))
    done = subprocess.run([python, "-c", code], input=asked, capture_output=True, text=True, check=True, timeout=100)
    assert set(json.loads(done.stdout.splitlines()[-1])) == TIED
