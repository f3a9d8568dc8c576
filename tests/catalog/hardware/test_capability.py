import pytest

from catalog.hardware.capability import Demand, capability_of, demands_of, unmet
from catalog.hardware.places import KNOWN


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("V100", (7, 0)),
        ("Tesla V100-SXM2-32GB", (7, 0)),
        ("P40", (6, 1)),
        ("Tesla P100", (6, 0)),
        ("RTX 2080 Ti", (7, 5)),
        ("NVIDIA GeForce RTX 2080Ti", (7, 5)),
        ("T4", (7, 5)),
        ("NVIDIA A100-SXM4-80GB", (8, 0)),
        ("A10", (8, 6)),
        ("RTX3090", (8, 6)),
        ("3090 Ti", (8, 6)),
        ("NVIDIA RTX A6000", (8, 6)),
        ("L40S", (8, 9)),
        ("RTX 4060 Ti 16GB", (8, 9)),
        ("RTX 4070 SUPER", (8, 9)),
        ("RTX 6000 Ada", (8, 9)),
        ("Quadro RTX 6000", (7, 5)),
        ("H100", (9, 0)),
        ("H200", (9, 0)),
        ("B200", (10, 0)),
        ("RTX 5090", (12, 0)),
        ("RTX 6000", None),
        ("MI300X", None),
        ("card", None),
    ],
)
def test_a_card_is_known_by_its_name(name: str, expected: tuple[int, int] | None) -> None:
    """Of NVIDIA's list; 'RTX 6000' is two cards."""
    assert capability_of(name) == expected


def test_the_capability_of_every_card_that_is_suggested_is_known() -> None:
    assert all(capability_of(name) is not None for name, _ in KNOWN)


def test_a_quantisation_and_bfloat16_ask_for_what_vllm_asks_for() -> None:
    assert [(one.what, one.least) for one in demands_of("float16", None, {"quant_method": "awq"})] == [("awq", (7, 5))]
    assert demands_of("auto", "fbgemm_fp8")[0].least == (8, 0)
    assert demands_of("bfloat16", None)[0].remedy == "dtype: float16"
    assert demands_of("bfloat16", None, model_type="gemma3_text")[0].remedy is None
    assert demands_of("auto", None, {"quant_method": "of-tomorrow"}) == ()


def test_the_first_that_is_not_met_is_told_and_nothing_of_a_card_that_is_not_known() -> None:
    both = demands_of("bfloat16", None, {"quant_method": "awq"})
    told = unmet(both, (7, 0))
    assert told is not None
    assert told.reason("V100", (7, 0)) == "awq needs a GPU of compute capability 7.5, and V100 has 7.0"
    assert unmet(both, (7, 5)) == Demand("bfloat16", (8, 0), "dtype: float16")
    assert unmet(both, (8, 6)) is None
    assert unmet(both, None) is None
