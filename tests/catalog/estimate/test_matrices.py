import pytest

from catalog.estimate.architecture import architecture_of
from catalog.estimate.matrices import Part, is_loaded, matrices_of, part_of
from tests.catalog.estimate.asked import DEEPSEEK
from tests.catalog.estimate.configurations import BIMEDIX2, BIOMEDLM, LLAMA_8B, MIXTRAL


def elements(config: dict[str, object], *, with_head: bool = True, with_vision: bool = True) -> dict[Part, int]:
    sums: dict[Part, int] = {}
    for matrix in matrices_of(architecture_of(config, {}), with_head=with_head, with_vision=with_vision):
        sums[matrix.part] = sums.get(matrix.part, 0) + matrix.elements
    return sums


def test_the_parameters_of_llama_are_as_published() -> None:
    assert sum(elements(LLAMA_8B).values()) == 8_030_261_248


def test_the_parameters_of_biomedlm_are_as_counted_in_its_paper() -> None:
    assert sum(elements(BIOMEDLM).values()) == pytest.approx(2.594e9, rel=0.002)


def test_a_head_is_left_out_where_it_is_tied_or_not_wanted() -> None:
    assert Part.HEAD in elements(LLAMA_8B)
    assert Part.HEAD not in elements(LLAMA_8B, with_head=False)
    assert Part.HEAD not in elements({**LLAMA_8B, "tie_word_embeddings": True})


def test_the_experts_of_mixtral_are_nearly_all_of_it() -> None:
    told = elements(MIXTRAL)
    assert told[Part.EXPERT] == 32 * 8 * 3 * 4096 * 14336
    assert told[Part.ROUTER] == 32 * 8 * 4096


def test_vision_can_be_left_out() -> None:
    assert elements(BIMEDIX2)[Part.VISION] == pytest.approx(0.31e9, rel=0.05)
    assert Part.VISION not in elements(BIMEDIX2, with_vision=False)


def test_latent_attention_has_its_own_projections() -> None:
    assert elements(DEEPSEEK)[Part.LATENT] == 27 * (512 + 64) * 2048


@pytest.mark.parametrize(
    ("name", "dimensions", "part"),
    [
        ("model.embed_tokens.weight", 2, Part.EMBEDDING),
        ("transformer.wte.weight", 2, Part.EMBEDDING),
        ("embeddings.word_embeddings.weight", 2, Part.EMBEDDING),
        ("token_embd.weight", 2, Part.EMBEDDING),
        ("language_model.lm_head.weight", 2, Part.HEAD),
        ("output.weight", 2, Part.HEAD),
        ("model.layers.0.self_attn.k_proj.weight", 2, Part.KEY_VALUE),
        ("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", 2, Part.LATENT),
        ("model.layers.0.self_attn.q_proj.weight", 2, Part.LINEAR),
        ("model.layers.0.mlp.gate_proj.weight", 2, Part.LINEAR),
        ("h.0.attn.c_attn.weight", 2, Part.LINEAR),
        ("model.layers.0.block_sparse_moe.gate.weight", 2, Part.ROUTER),
        ("model.layers.0.block_sparse_moe.experts.3.w1.weight", 2, Part.EXPERT),
        ("blk.0.ffn_gate_exps.weight", 3, Part.EXPERT),
        ("model.layers.0.input_layernorm.weight", 1, Part.VECTOR),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", 2, Part.VISION),
        ("multi_modal_projector.linear_1.weight", 2, Part.VISION),
    ],
)
def test_a_tensors_name_tells_its_part(name: str, dimensions: int, part: Part) -> None:
    assert part_of(name, dimensions) is part


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "transformer.h.3.attn.bias",
        "transformer.h.3.attn.masked_bias",
        "embeddings.position_ids",
    ],
)
def test_buffers_of_old_checkpoints_are_not_loaded(name: str) -> None:
    assert not is_loaded(name)
    assert is_loaded("transformer.h.3.attn.c_attn.bias")
