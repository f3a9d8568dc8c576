from typing import Any

import pytest

from catalog.hardware.fit import fit
from catalog.hardware.places import named_places
from tests.catalog.estimate.configurations import AWQ, LLAMA_8B, MIXTRAL, QWEN_14B
from tests.catalog.hardware.plans import MIXTRAL_8X7B, QWEN_14B_4BIT, RESERVE_BYTES, RTX_3090, candidate, place

MAMBA = {"architectures": ["MambaForCausalLM"], "model_type": "mamba", "d_model": 4096, "n_layer": 64}


@pytest.mark.parametrize("config", [MAMBA, {}], ids=["mamba", "empty"])
def test_where_weights_are_not_known_what_its_file_declares_is_the_truth(config: dict[str, Any]) -> None:
    """A need of nothing would be an advice to declare nothing."""
    told = fit(candidate("unk", config, 30, 4096), RTX_3090, RESERVE_BYTES)
    assert (told.fits, told.estimate, told.max_context, told.max_concurrency) == (False, None, None, None)
    assert told.reason == "its file declares 30.00 GiB (memory_gib), and RTX 3090 has 23.19 GiB for models"
    assert told.options == ("one GPU of 32 GB (RTX 5090)",)
    assert "what its file declares (memory_gib) is all there is to go by" in told.notes
    assert any("weights are not counted" in note for note in told.notes)
    assert fit(candidate("unk", config, 20, 4096), RTX_3090, RESERVE_BYTES).fits


def test_a_limit_that_is_known_holds_also_where_weights_are_not() -> None:
    config = {"architectures": ["Odd"], "max_position_embeddings": 2048}
    told = fit(candidate("unk", config, 20, 4096), RTX_3090, RESERVE_BYTES)
    assert told.reason == "max_model_len 4096 is above the model's own limit of 2048 tokens"
    assert told.instead == "max_model_len: 2048"


def test_on_the_host_no_gpu_is_suggested_for_what_is_not_known() -> None:
    told = fit(candidate("unk", MAMBA, 30, 4096), [place("cpu0", 12, is_gpu=False)], RESERVE_BYTES)
    assert not told.fits
    assert told.options == ()


def test_a_need_without_keys_and_values_is_no_advice_to_declare_less() -> None:
    odd = {key: value for key, value in LLAMA_8B.items() if key not in ("num_attention_heads", "model_type")}
    told = fit(candidate("odd", odd, 30, 4096, total_bytes=16 * 2**30), RTX_3090, RESERVE_BYTES)
    assert (told.max_context, told.max_concurrency) == (None, None)
    assert told.reason is not None
    assert "would do" not in told.reason
    assert told.options == ("one GPU of 32 GB (RTX 5090)",)
    assert "its need is more than what is counted: weights without keys and values" in told.notes


def test_a_number_of_devices_that_it_does_not_divide_by_is_refused_and_the_nearest_that_it_does_named() -> None:
    cards = named_places(["3x RTX 3090:24"], RESERVE_BYTES)
    told = fit(candidate("qwen", {**QWEN_14B, **AWQ}, 13, 8192, device_count=3), cards, RESERVE_BYTES)
    assert told.reason == "its 40 attention heads do not divide by 3 devices (device_count)"
    assert told.options == ("device_count: 2",)
    assert fit(candidate("qwen", {**QWEN_14B, **AWQ}, 13, 8192, device_count=2), cards, RESERVE_BYTES).fits


def test_only_numbers_of_devices_that_it_divides_by_are_suggested() -> None:
    """By 8 the 40 heads divide, and the MLP's groups do not."""
    whole = candidate("qwen", QWEN_14B, 30, 8192)
    told = fit(whole, [place("small", 6)], RESERVE_BYTES)
    assert told.options[0].startswith("device_count: 8 and memory_gib: ")
    quantised = fit(candidate("qwen", {**QWEN_14B, **AWQ}, 13, 8192), [place("tiny", 2)], RESERVE_BYTES)
    assert not any("device_count" in option for option in quantised.options)


def test_fewer_devices_are_the_nearest_where_there_are_fewer_and_it_fits_on_them() -> None:
    wants_two = candidate("llama", LLAMA_8B, 18, 8192, device_count=2)
    told = fit(wants_two, RTX_3090, RESERVE_BYTES)
    assert told.reason == "it wants 2 devices (device_count), and there are 1"
    assert told.options == ("device_count: 1",)
    assert fit(candidate("llama", LLAMA_8B, 18, 8192), RTX_3090, RESERVE_BYTES).fits
    declares_half = fit(candidate("llama", LLAMA_8B, 10, 8192, device_count=2), RTX_3090, RESERVE_BYTES)
    assert declares_half.instead == "device_count: 1 and memory_gib: 17.25"


def test_where_one_is_too_small_as_many_as_it_wants_is_what_it_is_told_again() -> None:
    told = fit(candidate("mixtral", {**MIXTRAL, **AWQ}, 15, 8192, device_count=2), RTX_3090, RESERVE_BYTES)
    assert told.options[0].startswith("device_count: 2, on 2 such devices (")
    assert told.options[1:] == ("one GPU of 32 GB (RTX 5090), device_count: 1",)


def test_more_devices_take_another_declaration_where_the_old_one_is_too_large_for_each() -> None:
    told = fit(candidate("mixtral", {**MIXTRAL, **AWQ}, 27, 8192), RTX_3090, RESERVE_BYTES)
    assert told.options[0].startswith("device_count: 2 and memory_gib: 13.75, on 2 such devices (")
    two = candidate("mixtral", {**MIXTRAL, **AWQ}, 13.75, 8192, device_count=2)
    assert fit(two, named_places(["2x RTX 3090:24"], RESERVE_BYTES), RESERVE_BYTES).fits


@pytest.mark.parametrize(("card", "has"), [("Tesla V100:32", "7.0"), ("P40:24", "6.1")])
def test_a_quantisation_that_a_card_cannot_do_names_one_that_can(card: str, has: str) -> None:
    cards = named_places([card], RESERVE_BYTES)
    told = fit(QWEN_14B_4BIT, cards, RESERVE_BYTES)
    assert told.reason == f"awq needs a GPU of compute capability 7.5, and {cards[0].name} has {has}"
    assert told.options == ("one GPU of 16 GB (RTX 4060 Ti 16GB)",)
    assert any("it takes one that is built for it" in note for note in told.notes)
    assert fit(MIXTRAL_8X7B, cards, RESERVE_BYTES).options == ("one GPU of 32 GB (RTX 5090)",)


def test_bfloat16_that_a_card_cannot_do_is_float16() -> None:
    cards = named_places(["RTX 2080 Ti:22"], RESERVE_BYTES)
    told = fit(candidate("llama", LLAMA_8B, 18, 8192, dtype="bfloat16"), cards, RESERVE_BYTES)
    assert told.reason == "bfloat16 needs a GPU of compute capability 8.0, and RTX 2080 Ti has 7.5"
    assert told.instead == "dtype: float16"
    assert fit(candidate("llama", LLAMA_8B, 18, 8192, dtype="float16"), cards, RESERVE_BYTES).fits
    assert fit(candidate("llama", LLAMA_8B, 18, 8192), cards, RESERVE_BYTES).fits, "auto is float16 there"


def test_of_several_cards_those_that_can_are_taken() -> None:
    cards = named_places(["V100:32", "RTX 3090:24"], RESERVE_BYTES)
    assert fit(QWEN_14B_4BIT, cards, RESERVE_BYTES).on == ("RTX 3090",)


def test_of_a_card_that_is_not_known_it_is_said_that_nobody_looked() -> None:
    told = fit(QWEN_14B_4BIT, named_places(["Rocket 9:24"], RESERVE_BYTES), RESERVE_BYTES)
    assert told.fits
    assert (
        "the compute capability of 'Rocket 9' is not known here: whether it can do awq was not looked at" in told.notes
    )
