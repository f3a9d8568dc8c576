from typing import Any

import pytest

from catalog.estimate.architecture import architecture_of
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.flags import Flags
from catalog.estimate.tensors import Tensor
from catalog.estimate.weights import Weights, weights_of
from tests.catalog.estimate.configurations import AWQ, FIVE, GIB, LLAMA_8B, MIXTRAL, OTHERS, Known, llama

TINY = llama(64, 128, 1, 4, 2, 128)


def weigh(
    config: dict[str, Any], tensors: dict[str, Tensor] | None = None, total_bytes: int | None = None, **flags: Any
) -> Weights:
    checkpoint = Checkpoint(config, tensors, total_bytes, "from a test")
    return weights_of(checkpoint, architecture_of(config, {}), Flags(max_model_len=64, **flags))


@pytest.mark.parametrize("known", [*FIVE, *OTHERS], ids=lambda known: known.name)
def test_what_is_counted_from_a_config_is_what_is_public_to_5_percent(known: Known) -> None:
    assert weigh(known.config).bytes == pytest.approx(known.weights_bytes, rel=0.05), known.source


def test_tensors_are_exact_and_floats_are_cast_to_16_bits() -> None:
    tensors = {
        "model.embed_tokens.weight": Tensor("F32", (128, 64)),
        "model.layers.0.mlp.up_proj.weight": Tensor("F32", (128, 64)),
        "model.layers.0.self_attn.rotary_emb.inv_freq": Tensor("F32", (16,)),
        "lm_head.weight": Tensor("F32", (128, 64)),
    }
    assert weigh(TINY, tensors).bytes == 3 * 128 * 64 * 2
    assert weigh(TINY, tensors, dtype="float32").bytes == 3 * 128 * 64 * 4
    assert weigh({**TINY, "tie_word_embeddings": True}, tensors).bytes == 2 * 128 * 64 * 2
    assert weigh(TINY, tensors, embedder=True).bytes == 2 * 128 * 64 * 2


def test_quantised_tensors_stay_as_they_are_and_so_do_their_scales() -> None:
    tensors = {
        "model.layers.0.mlp.up_proj.qweight": Tensor("I32", (64, 16)),
        "model.layers.0.mlp.up_proj.qzeros": Tensor("I32", (1, 16)),
        "model.layers.0.mlp.up_proj.scales": Tensor("F16", (1, 128)),
        "model.layers.0.mlp.down_proj.weight": Tensor("F8_E4M3", (64, 128)),
        "model.layers.0.mlp.down_proj.weight_scale": Tensor("F32", (64, 1)),
        "model.norm.weight": Tensor("F32", (64,)),
    }
    awq = 64 * 16 * 4 + 16 * 4 + 128 * 2
    assert weigh({**TINY, **AWQ}, tensors).bytes == awq + 64 * 128 + 64 * 4 + 64 * 2


def test_what_marlin_drops_of_a_gptq_checkpoint_is_not_counted() -> None:
    tensors = {f"m.up_proj.{name}": Tensor("I32", (8, 8)) for name in ("qweight", "qzeros", "g_idx")}
    gptq: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
    assert weigh({**TINY, "quantization_config": gptq}, tensors).bytes == 256
    assert weigh({**TINY, "quantization_config": {**gptq, "sym": False}}, tensors).bytes == 512
    assert weigh({**TINY, "quantization_config": {**gptq, "desc_act": True}}, tensors).bytes == 512


def test_online_quantisation_halves_the_linear_layers_only() -> None:
    whole, halved = weigh(LLAMA_8B), weigh(LLAMA_8B, quantization="fp8")
    linear = LLAMA_8B["num_hidden_layers"] * 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336)
    assert whole.bytes - halved.bytes == linear
    tensors = {
        "model.layers.0.mlp.up_proj.weight": Tensor("BF16", (128, 64)),
        "lm_head.weight": Tensor("BF16", (128, 64)),
    }
    assert weigh(TINY, tensors, quantization="fp8").bytes == 128 * 64 * 3
    assert weigh({**TINY, **AWQ}, tensors, quantization="fp8").bytes == 128 * 64 * 4, "it has its own quantisation"


def test_each_of_several_devices_has_its_share_and_all_that_cannot_be_divided() -> None:
    one, two = weigh(LLAMA_8B).bytes, weigh(LLAMA_8B, device_count=2).bytes
    assert two == pytest.approx(one / 2, rel=0.001)
    many = weigh(LLAMA_8B, device_count=16).bytes
    keys = 32 * 2 * 1024 * 4096 * 2
    assert many - one / 16 == pytest.approx(keys * (1 / 8 - 1 / 16), rel=0.02), "8 KV heads are held twice by 16"


def test_vision_is_left_out_where_it_is_switched_off() -> None:
    bimedix2 = FIVE[0].config
    assert weigh(bimedix2).bytes - weigh(bimedix2, language_model_only=True).bytes > 0.5 * GIB
    tensors = {"vision_tower.fc.weight": Tensor("F16", (8, 8)), "model.norm.weight": Tensor("F16", (8,))}
    assert weigh(bimedix2, tensors, language_model_only=True).bytes == 16
    assert weigh(bimedix2, tensors, limit_mm_per_prompt={"image": 0}).bytes == 16


def test_what_is_not_known_is_as_large_as_its_files_and_said() -> None:
    told = weigh({"architectures": ["OddForCausalLM"], "torch_dtype": "float32"}, total_bytes=800)
    assert (told.bytes, told.assumed) == (400, ("OddForCausalLM is not known here: weights as large as their files",))
    told = weigh({})
    assert told.bytes == 0
    assert "neither dimensions nor files are known" in told.assumed[0]


def test_a_quantisation_that_is_not_known_is_counted_as_none_and_said() -> None:
    told = weigh({**LLAMA_8B, "quantization_config": {"quant_method": "quark"}})
    assert told.bytes == weigh(LLAMA_8B).bytes
    assert "the quantisation quark is not known here" in told.assumed[1]


def test_padded_experts_count_with_their_padding_also_from_tensors() -> None:
    config = next(one.config for one in OTHERS if one.name == "gpt-oss-20b")
    tensors = {"model.layers.0.mlp.experts.gate_up_proj_blocks": Tensor("U8", (32, 5760, 90, 16))}
    assert weigh(config, tensors).bytes == round(32 * 5760 * 90 * 16 * (3072 * 2944) / 2880**2)


def test_the_words_say_what_was_counted() -> None:
    told = weigh({**MIXTRAL, **AWQ})
    assert told.words == "46.70 billion parameters, AWQ, 4 bits, groups of 128, the rest 16 bits a number"
    assert "arXiv:2306.00978" in told.source


def test_what_is_repacked_is_a_layers_worth_of_quantised_matrices() -> None:
    assert weigh(LLAMA_8B).repacked_bytes == 0
    assert weigh({**MIXTRAL, **AWQ}).repacked_bytes == pytest.approx(8 * 2 * 4096 * 14336 * 4.15625 / 8, rel=1e-6)
    tensors = {"model.layers.0.block_sparse_moe.experts.0.w1.qweight": Tensor("I32", (64, 16))}
    assert weigh({**MIXTRAL, **AWQ}, tensors).repacked_bytes == 64 * 16 * 4 * 8 * 2
    tensors = {"model.layers.0.mlp.up_proj.qweight": Tensor("I32", (64, 16))}
    assert weigh({**TINY, **AWQ}, tensors, device_count=2).repacked_bytes == 64 * 16 * 4 // 2


def gpt(kind: str, hidden: int, layers: int, vocab: int, **more: Any) -> dict[str, Any]:
    """A model that leaves out what its class has by default."""
    return {
        "architectures": [kind],
        "model_type": kind,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64,
        "vocab_size": vocab,
        "torch_dtype": "float16",
        **more,
    }


OPT = gpt("opt", 768, 12, 50272, ffn_dim=3072, max_position_embeddings=2048)
BLOOM = {**gpt("bloom", 0, 24, 250880, n_embed=1024, n_layer=24, num_attention_heads=16), "hidden_size": None}
COMMAND_R = gpt("cohere", 8192, 40, 256000, num_attention_heads=64, num_key_value_heads=64, intermediate_size=22528)
STARCODER = gpt("starcoder2", 3072, 30, 49152, num_attention_heads=24, num_key_value_heads=2, intermediate_size=12288)
SCOUT = {
    "architectures": ["Llama4ForConditionalGeneration"],
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "interleave_moe_layer_step": 1,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
        "vocab_size": 202048,
    },
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("config", "billions"),
    [(OPT, 0.1252), (BLOOM, 0.5592), (COMMAND_R, 34.98), (STARCODER, 3.03), (SCOUT, 107.77)],
    ids=["opt-125m", "bloom-560m", "command-r", "starcoder2-3b", "llama-4-scout"],
)
def test_a_config_that_leaves_out_what_its_class_has_by_default_is_counted_right(
    config: dict[str, Any], billions: float
) -> None:
    """The counts of their model cards; the head is the embedding, and experts stand beside a shared one."""
    assert weigh(config).bytes / 2e9 == pytest.approx(billions, rel=0.01)


def test_files_that_are_of_another_size_than_the_count_are_said() -> None:
    stored = weigh(OPT).bytes
    assert len(weigh(OPT, total_bytes=stored).assumed) == 1
    assert len(weigh({**OPT, "torch_dtype": "float32"}, total_bytes=2 * stored).assumed) == 1
    assert len(weigh({**OPT, "torch_dtype": None}, total_bytes=2 * stored).assumed) == 1
    said = weigh(OPT, total_bytes=round(stored * 1.25)).assumed
    assert "its files are 0.29 GiB, and what config.json gives is 0.23: the count is off by -20%" in said[1]
    assert len(weigh({**OPT, **AWQ}, total_bytes=weigh({**OPT, **AWQ}).bytes).assumed) == 1


def test_layers_of_other_kinds_are_not_counted_before_their_files_are_known() -> None:
    hybrid = {**LLAMA_8B, "model_type": "jamba", "architectures": ["JambaForCausalLM"]}
    told = weigh(hybrid)
    assert told.bytes == 0
    assert told.assumed == (
        "JambaForCausalLM has more than attention and an MLP: weights are not counted before its files are known",
    )
    assert weigh(hybrid, total_bytes=10**9).bytes == 10**9
    assert weigh({**LLAMA_8B, "is_encoder_decoder": True}).bytes == 0
