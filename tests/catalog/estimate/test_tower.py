from catalog.estimate.tower import tower_of
from tests.catalog.estimate.configurations import BIMEDIX2, LLAMA_8B, OTHERS


def test_of_clip_in_llava_the_layers_behind_the_one_that_is_used_are_not_loaded() -> None:
    tower = tower_of(BIMEDIX2)
    assert tower is not None
    assert (tower.hidden, tower.ffn, tower.layers, tower.patch, tower.tokens_per_item) == (1024, 4096, 23, 14, 576)
    assert not tower.sees_videos
    last = tower_of({**BIMEDIX2, "vision_feature_layer": -1})
    assert last is not None
    assert last.layers == 24


def test_a_tower_that_merges_patches_takes_images_of_any_size_and_videos() -> None:
    tower = tower_of(next(one.config for one in OTHERS if one.name == "Qwen2.5-VL-7B"))
    assert tower is not None
    assert (tower.hidden, tower.layers, tower.merge, tower.tokens_per_item) == (1280, 32, 2, 65536)
    assert tower.sees_videos
    assert not tower.has_positions


def test_of_qwen2_vl_the_width_is_that_of_its_embedding() -> None:
    vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "mlp_ratio": 4, "spatial_merge_size": 2}
    tower = tower_of({"model_type": "qwen2_vl", "vision_config": vision})
    assert tower is not None
    assert (tower.hidden, tower.ffn, tower.is_gated) == (1280, 5120, False)


def test_a_model_without_a_vision_config_has_none() -> None:
    assert tower_of(LLAMA_8B) is None
