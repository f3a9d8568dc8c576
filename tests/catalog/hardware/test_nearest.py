from typing import Any

import pytest

from catalog.hardware.fit import fit
from tests.catalog.estimate.configurations import LLAMA_8B
from tests.catalog.hardware.plans import RESERVE_BYTES, RTX_3090, candidate, place

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
