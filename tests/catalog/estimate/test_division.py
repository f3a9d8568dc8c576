from typing import Any

import pytest

from catalog.estimate.architecture import architecture_of
from catalog.estimate.division import divisors, why_not_divided
from tests.catalog.estimate.asked import DEEPSEEK
from tests.catalog.estimate.configurations import AWQ, LLAMA_8B, MIXTRAL, QWEN_14B


def why(config: dict[str, Any], devices: int) -> str | None:
    return why_not_divided(architecture_of(config, {}), devices)


def test_attention_heads_must_divide_by_the_devices() -> None:
    assert why(QWEN_14B, 3) == "its 40 attention heads do not divide by 3 devices (device_count)"
    assert why(QWEN_14B, 2) is None
    assert why(QWEN_14B, 1) is None


def test_so_must_the_heads_of_keys_and_values_either_way() -> None:
    assert why(QWEN_14B, 5) == "its 8 heads of keys and values do not divide by 5 devices (device_count)"
    assert why(LLAMA_8B, 16) is None, "two devices have the same head"


def test_so_must_the_mlp_and_its_quantised_groups() -> None:
    assert why({**LLAMA_8B, "intermediate_size": 14337}, 2) == (
        "its MLP of 14337 columns does not divide by 2 devices (device_count)"
    )
    quantised = {**QWEN_14B, **AWQ}
    assert why(quantised, 4) is None
    assert (
        why(quantised, 8)
        == "its MLP of 13824 columns, in AWQ's groups of 128, does not divide by 8 devices (device_count)"
    )
    assert why({**MIXTRAL, **AWQ}, 8) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [(LLAMA_8B, [1, 2, 4, 8, 16]), ({**QWEN_14B, **AWQ}, [1, 2, 4]), (DEEPSEEK, [1, 2, 4, 8, 16])],
    ids=["llama", "qwen", "deepseek"],
)
def test_the_counts_that_a_model_divides_by_are_found(config: dict[str, Any], expected: list[int]) -> None:
    assert divisors(architecture_of(config, {})) == expected


def test_what_is_not_known_divides_by_whatever_is_asked() -> None:
    assert why({}, 3) is None
