from dataclasses import replace

import pytest

from catalog.hardware.fit import Fit, answers, fit, with_fallbacks
from catalog.hardware.places import Place, named_places
from catalog.spec import GIB, AgentRoute
from tests.catalog.estimate.configurations import CHATDOCTOR, LLAMA_8B
from tests.catalog.hardware.plans import (
    ALL,
    MIXTRAL_8X7B,
    QWEN_14B_4BIT,
    RESERVE_BYTES,
    ROUTES,
    RTX_3090,
    candidate,
    place,
)


def on_a_3090(*, routed: bool = True) -> dict[str, Fit]:
    fits = [fit(one, RTX_3090, RESERVE_BYTES) for one in ALL]
    return {one.spec.name: one for one in (with_fallbacks(fits, ROUTES) if routed else fits)}


def test_of_the_five_only_mixtral_does_not_fit_on_a_card_of_24_gb() -> None:
    assert {name for name, one in on_a_3090().items() if not one.fits} == {"mixtral"}


def test_what_does_not_fit_says_why_and_names_the_nearest_that_can_first() -> None:
    mixtral = on_a_3090()["mixtral"]
    assert mixtral.reason is not None
    assert mixtral.reason.startswith("it needs 25.")
    assert (
        "(weights 22.96 GiB, KV 1.00 GiB, the rest 1.43 GiB), and RTX 3090 has 23.19 GiB for models" in mixtral.reason
    )
    assert mixtral.instead == "qwen answers for Billing, Claims"
    assert [one.partition(" ")[0] for one in mixtral.options[1:]] == ["device_count:", "one"]
    assert mixtral.options[2] == "one GPU of 32 GB (RTX 5090)"
    assert on_a_3090(routed=False)["mixtral"].instead == mixtral.options[1]


def test_a_context_beyond_the_models_own_is_refused_with_its_limit() -> None:
    told = fit(candidate("chatdoctor", CHATDOCTOR, 18, 4096), RTX_3090, RESERVE_BYTES)
    assert told.reason == "max_model_len 4096 is above the model's own limit of 2048 tokens"
    assert told.options == ("max_model_len: 2048",)


def test_a_context_that_is_too_long_for_the_card_names_one_that_fits() -> None:
    wanted = candidate("llama", LLAMA_8B, 20, 131072)
    told = fit(wanted, RTX_3090, RESERVE_BYTES)
    assert told.instead is not None
    shorter = int(told.instead.removeprefix("max_model_len: "))
    assert told.max_context is not None
    assert told.max_context - 256 < shorter <= told.max_context
    assert fit(candidate("llama", LLAMA_8B, 20, shorter), RTX_3090, RESERVE_BYTES).fits
    assert not fit(candidate("llama", LLAMA_8B, 20, shorter + 256), RTX_3090, RESERVE_BYTES).fits


def test_weights_that_alone_are_too_large_are_said_so() -> None:
    told = fit(MIXTRAL_8X7B, [place("small", 16)], RESERVE_BYTES)
    assert told.reason == "its weights alone take 22.96 GiB, and small has 16.00 GiB for models"


def test_a_file_that_declares_more_than_there_is_is_told_what_would_do() -> None:
    told = fit(candidate("llama", LLAMA_8B, 30, 8192), RTX_3090, RESERVE_BYTES)
    assert told.reason is not None
    assert told.reason.startswith("its file declares 30.00 GiB (memory_gib)")
    assert told.instead == "memory_gib: 17.25"
    assert fit(candidate("llama", LLAMA_8B, 17.25, 8192), RTX_3090, RESERVE_BYTES).fits


def test_a_file_that_declares_too_little_is_said_and_the_estimate_counts() -> None:
    told = fit(candidate("llama", LLAMA_8B, 10, 8192), RTX_3090, RESERVE_BYTES)
    assert told.estimate is not None
    assert told.reserved_bytes == told.estimate.need_bytes
    assert "its file declares 10.00 GiB, less than the estimate of 17." in told.notes[-1]


def test_a_model_for_several_devices_wants_as_many() -> None:
    two = candidate("mixtral", dict(MIXTRAL_8X7B.checkpoint.config), 15.5, 8192, device_count=2)  # type: ignore[union-attr]
    told = fit(two, RTX_3090, RESERVE_BYTES)
    assert told.reason == "it wants 2 devices (device_count), and there are 1"
    assert fit(two, named_places(["2x RTX 3090:24"], RESERVE_BYTES), RESERVE_BYTES).fits


def test_devices_that_a_file_names_are_the_only_ones_where_they_are_there() -> None:
    pinned = candidate("llama", LLAMA_8B, 20, 8192, devices=("gpu1",))
    both = [place("gpu0", 24, ids=("GPU-0",)), place("gpu1", 12, ids=("GPU-1",))]
    assert fit(pinned, both, RESERVE_BYTES).reason is not None
    by_uuid = candidate("llama", LLAMA_8B, 20, 8192, devices=("GPU-0",))
    assert fit(by_uuid, both, RESERVE_BYTES).on == ("gpu0",)
    elsewhere = fit(pinned, RTX_3090, RESERVE_BYTES)
    assert elsewhere.fits
    assert "none of these: all were tried" in elsewhere.notes[-1]


def test_a_model_of_which_nothing_is_known_is_placed_by_what_it_declares() -> None:
    told = fit(candidate("odd", None, 20, 8192), RTX_3090, RESERVE_BYTES)
    assert (told.fits, told.estimate, told.max_context) == (True, None, None)
    assert told.notes == ("nothing is known of this checkpoint",)
    large = fit(candidate("odd", None, 25, 8192), RTX_3090, RESERVE_BYTES)
    assert large.reason == "its file declares 25.00 GiB (memory_gib), and RTX 3090 has 23.19 GiB for models"
    assert large.instead == "one GPU of 32 GB (RTX 5090)"


def test_on_the_host_what_a_file_declares_stands() -> None:
    told = fit(candidate("llama", LLAMA_8B, 10, 8192), [place("cpu0", 12, is_gpu=False)], RESERVE_BYTES)
    assert (told.fits, told.alone_bytes, told.reserved_bytes) == (True, None, 10 * 2**30)
    assert told.notes[-1].startswith("its file declares 10.00 GiB, and the estimate is 1")
    assert told.notes[-1].endswith("only roughly known, and what is declared counts")


def test_figures_say_how_far_and_how_often_a_model_fits() -> None:
    qwen = on_a_3090()["qwen"]
    assert (qwen.max_context, qwen.max_concurrency) == (32768, 8)
    assert qwen.alone_tokens == pytest.approx(60_000, rel=0.05)
    assert on_a_3090()["mixtral"].max_context == 0


def test_who_answers_is_the_model_its_fallback_or_nobody() -> None:
    told = {one.agent_type: one for one in answers(tuple(on_a_3090().values()), ROUTES)}
    assert told["Chat"].by == "chatdoctor"
    assert (told["Claims"].by, told["Claims"].why) == ("qwen", "mixtral does not fit; qwen answers")
    alone = {"Claims": AgentRoute(model="mixtral")}
    [nobody] = answers(tuple(on_a_3090().values()), alone)
    assert (nobody.by, nobody.why) == (None, "mixtral does not fit, and it has no fallback: nobody answers")
    tiny = [fit(one, [place("tiny", 4)], RESERVE_BYTES) for one in (MIXTRAL_8X7B, QWEN_14B_4BIT)]
    assert {one.by for one in answers(tiny, ROUTES)} == {None}
    assert "mixtral does not fit, and its fallback qwen does not fit" in answers(tiny, ROUTES)[0].why


def test_a_start_that_takes_more_than_there_is_is_refused() -> None:
    hungry = candidate("llama", LLAMA_8B, 20, 8192, kv_cache_bytes=6 * 2**30)
    told = fit(replace(hungry), [place("card", 22)], RESERVE_BYTES)
    assert told.reason is not None
    assert "22." in told.reason


def test_on_the_host_more_of_its_memory_is_nearer_than_other_devices() -> None:
    """Without a setting Rota takes half of it."""
    half = Place("cpu0", 24 * GIB, 12 * GIB, is_gpu=False)
    told = fit(candidate("llama", LLAMA_8B, 18, 8192), [half], RESERVE_BYTES)
    assert not told.fits
    assert told.options[-1] == "device_memory_gib: 18 in the settings"
    assert not any("device_count" in option or "GPU" in option for option in told.options)
