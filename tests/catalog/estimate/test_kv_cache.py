from typing import Any

import pytest

from catalog.estimate.architecture import architecture_of
from catalog.estimate.flags import Flags
from catalog.estimate.kv_cache import Group, KvCache, kv_cache_of
from tests.catalog.estimate.asked import BERT, DEEPSEEK
from tests.catalog.estimate.configurations import FIVE, LLAMA_8B, OTHERS, Known, llama


def keep(config: dict[str, Any], batched_tokens: int = 2048, **flags: Any) -> KvCache:
    return kv_cache_of(architecture_of(config, {}), Flags(max_model_len=64, **flags), batched_tokens)


def windowed(full: int, limited: int, window: int = 64) -> dict[str, Any]:
    types = ["full_attention"] * full + ["sliding_attention"] * limited
    return llama(64, 64, full + limited, 2, 1, 64, head_dim=32, layer_types=types, sliding_window=window)


@pytest.mark.parametrize("known", [*FIVE, *OTHERS], ids=lambda known: known.name)
def test_a_token_takes_what_is_public(known: Known) -> None:
    assert keep(known.config).bytes_per_token == known.kv_bytes_per_token


def test_a_request_takes_whole_blocks() -> None:
    kv = keep(LLAMA_8B)
    assert kv.request_bytes(16) == 16 * 131072
    assert kv.request_bytes(17) == 32 * 131072
    assert keep(LLAMA_8B, block_size=128).request_bytes(17) == 128 * 131072


def test_several_devices_share_the_heads_and_hold_them_twice_where_there_are_too_few() -> None:
    assert keep(LLAMA_8B, device_count=4).bytes_per_token == 131072 // 4
    assert keep(LLAMA_8B, device_count=16).bytes_per_token == 131072 // 8


@pytest.mark.parametrize(
    ("dtype", "share"),
    [("fp8", 0.5), ("fp8_e5m2", 0.5), ("float32", 2), ("nvfp4", 9 / 32), ("int8_per_token_head", (128 + 4) / 256)],
)
def test_the_dtype_of_keys_and_values_counts(dtype: str, share: float) -> None:
    assert keep(LLAMA_8B, kv_cache_dtype=dtype).bytes_per_token == 131072 * share


def test_a_dtype_that_is_not_known_is_said() -> None:
    kv = keep(LLAMA_8B, kv_cache_dtype="turboquant_k8v4")
    assert kv.bytes_per_token == 131072
    assert "turboquant_k8v4 is not known here" in kv.assumed[0]


def test_a_checkpoint_may_ask_for_fp8_itself() -> None:
    for own in ({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, {"kv_cache_quant_algo": "FP8"}):
        assert keep({**LLAMA_8B, "quantization_config": own}).bytes_per_token == 65536
    assert keep({**LLAMA_8B, "quantization_config": {"kv_cache_scheme": None}}).bytes_per_token == 131072


def test_latent_attention_keeps_one_vector_on_every_device() -> None:
    for count in (1, 2):
        assert keep(DEEPSEEK, device_count=count).bytes_per_token == 27 * (512 + 64) * 2
    assert keep(DEEPSEEK, kv_cache_dtype="fp8_ds_mla").bytes_per_token == 27 * 656


def test_an_encoder_keeps_nothing() -> None:
    kv = keep(BERT)
    assert (kv.bytes_per_token, kv.request_bytes(512), kv.assumed) == (0, 0, ())


def test_what_has_no_dimensions_keeps_nothing_and_says_so() -> None:
    assert "not counted" in keep({"architectures": ["Odd"]}).assumed[0]


def test_layers_with_a_window_give_blocks_back() -> None:
    kv = keep(windowed(0, 4), batched_tokens=32)
    assert kv.groups == (Group(4, 64),)
    assert kv.request_bytes(64) == kv.request_bytes(48) + 16 * 4 * 128, "not full yet"
    at_most = (-(-(63 + 2 * 32) // 16) + 1) * 16 * 4 * 128
    assert kv.request_bytes(10_000) == kv.request_bytes(100_000) == at_most
    assert keep(windowed(0, 4), 32, async_scheduling=False).request_bytes(10_000) < at_most


def test_kinds_of_layers_are_padded_to_groups_of_one_size() -> None:
    assert keep(windowed(2, 10)).groups == (Group(2, None), *[Group(2, 64)] * 5)
    assert keep(windowed(2, 5)).groups == (Group(2, None), *[Group(2, 64)] * 3)
    assert keep(windowed(8, 9)).groups == (Group(9, None), Group(9, 64))


def test_windows_can_be_switched_off() -> None:
    whole = keep(windowed(2, 10), disable_hybrid_kv_cache_manager=True)
    assert whole.groups == (Group(12, None),)
    assert keep(windowed(2, 10), disable_sliding_window=True).groups == (Group(12, None),)


def test_recurrent_layers_are_left_out_and_that_is_said() -> None:
    types = ["linear_attention"] * 3 + ["full_attention"]
    kv = keep(llama(64, 64, 4, 2, 1, 64, head_dim=32, layer_types=types))
    assert kv.bytes_per_token == 128
    assert kv.assumed == ("the states of 3 recurrent layers are not counted",)


def test_the_words_are_the_formula() -> None:
    assert keep(LLAMA_8B).words == "2 x 32 layers x 8 KV heads x 128 x 2 B"
    assert "look back 64 tokens only" in keep(windowed(2, 10)).words


def test_a_layer_that_is_recurrent_by_its_classs_pattern_keeps_no_keys_and_values() -> None:
    """Qwen3-Next-80B: every fourth of 48 layers has attention."""
    next_80b = llama(2048, 5120, 48, 16, 2, 151936, head_dim=256, model_type="qwen3_next", full_attention_interval=4)
    assert keep(next_80b).bytes_per_token == 24576
    assert keep(next_80b).assumed == ("the states of 36 recurrent layers are not counted",)
    jamba = llama(4096, 14336, 32, 32, 8, 65536, model_type="jamba", attn_layer_period=8, attn_layer_offset=4)
    assert keep(jamba).bytes_per_token == 2 * 4 * 8 * 128 * 2
