from typing import Any

import pytest

from catalog.estimate.flags import Flags, flags_of
from catalog.spec import GIB, Gib, ModelSpec


def spec(**more: Any) -> ModelSpec:
    fixed: dict[str, Any] = {"name": "m", "weights": "w", "port": 8101, "memory_bytes": Gib(9), "max_model_len": 2048}
    return ModelSpec(**{**fixed, **more})


def test_what_a_file_leaves_out_is_vllms_to_choose() -> None:
    assert flags_of(spec()) == Flags(max_model_len=2048, max_num_seqs=16)


def test_every_flag_that_counts_is_read_in_any_spelling() -> None:
    args = {
        "--enforce_eager": True,
        "quantization": "FP8",
        "kv-cache-dtype": "fp8",
        "max-num-batched-tokens": "4K",
        "hf-overrides": '{"sliding_window": null}',
        "limit-mm-per-prompt": {"image": {"count": 2, "width": 336}, "video": 0},
        "cpu-offload-gb": 1.5,
        "language-model-only": True,
        "async-scheduling": False,
        "block-size": 32,
    }
    told = flags_of(spec(vllm_args=args, kv_cache_bytes=Gib(3), device_count=2, embedder=True, dtype="float16"))
    assert told == Flags(
        max_model_len=2048,
        dtype="float16",
        kv_cache_bytes=3,
        device_count=2,
        embedder=True,
        enforce_eager=True,
        quantization="fp8",
        kv_cache_dtype="fp8",
        max_num_batched_tokens=4096,
        block_size=32,
        hf_overrides={"sliding_window": None},
        language_model_only=True,
        limit_mm_per_prompt={"image": 2, "video": 0},
        cpu_offload_bytes=3 * GIB // 2,
        async_scheduling=False,
    )


@pytest.mark.parametrize(
    "args", [{"compilation-config": {"cudagraph_mode": "none"}}, {"optimization-level": 0}, {"enforce-eager": "true"}]
)
def test_whatever_switches_graphs_off_is_as_good_as_enforce_eager(args: dict[str, Any]) -> None:
    assert flags_of(spec(vllm_args=args)).enforce_eager


def test_a_context_beyond_the_models_own_can_be_allowed() -> None:
    assert flags_of(spec(env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})).allow_long_max_model_len
    assert not flags_of(spec(env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "0"})).allow_long_max_model_len


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({"max-num-batched-tokens": "many"}, "max-num-batched-tokens must be a whole number, and is 'many'"),
        ({"cpu-offload-gb": "some"}, "cpu-offload-gb must be a number"),
        ({"hf-overrides": "{"}, "hf-overrides must be JSON"),
        ({"hf-overrides": 3}, "hf-overrides must be a JSON object"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_the_flags_name(args: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        flags_of(spec(vllm_args=args))


def test_a_tower_is_left_out_where_nothing_that_it_sees_may_come() -> None:
    assert Flags(9, language_model_only=True).is_blind(sees_videos=True)
    no_image = Flags(9, limit_mm_per_prompt={"image": 0})
    assert no_image.is_blind(sees_videos=False)
    assert not no_image.is_blind(sees_videos=True)
    assert Flags(9, limit_mm_per_prompt={"image": 0, "video": 0}).is_blind(sees_videos=True)
    assert not Flags(9).is_blind(sees_videos=False)
