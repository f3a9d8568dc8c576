import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from catalog.estimate.architecture import ENCODER_TYPES
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.estimate import Estimate, estimate
from catalog.estimate.flags import Flags
from catalog.estimate.overheads import batched_tokens
from catalog.estimate.tensors import Tensor
from catalog.spec import GIB
from tests.catalog.estimate.asked import ASKED, BERT, Asked
from tests.catalog.estimate.configurations import AWQ, BIMEDIX2, BIOMEDLM, CHATDOCTOR, LLAMA_8B, MIXTRAL, QWEN_14B
from tests.installation import CHECKOUT

PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"
SHOWN_BYTES = int(23.69 * GIB)
"""Of an RTX 3090."""


def estimated(config: dict[str, Any], max_model_len: int, *, is_gpu: bool = True, **flags: Any) -> Estimate:
    checkpoint = Checkpoint(config, None, None, "from a test")
    return estimate(checkpoint, Flags(max_model_len=max_model_len, **flags), SHOWN_BYTES, is_gpu=is_gpu)


@pytest.mark.parametrize(
    ("config", "max_model_len", "need_gib", "flags"),
    [
        (BIMEDIX2, 8192, 18.2, {"limit_mm_per_prompt": {"image": 1}}),
        (CHATDOCTOR, 2048, 14.9, {}),
        ({**QWEN_14B, **AWQ}, 8192, 12.3, {}),
        ({**MIXTRAL, **AWQ}, 8192, 25.6, {}),
        (BIOMEDLM, 1024, 6.0, {"embedder": True}),
        (BERT, 512, 1.0, {"embedder": True}),
    ],
    ids=["BiMediX2", "ChatDoctor", "Qwen2.5-14B AWQ", "Mixtral AWQ", "BioMedLM", "BERT"],
)
def test_the_five_need_what_was_reckoned_by_hand(
    config: dict[str, Any], max_model_len: int, need_gib: float, flags: dict[str, Any]
) -> None:
    assert estimated(config, max_model_len, **flags).need_bytes / GIB == pytest.approx(need_gib, abs=0.4)


@pytest.mark.parametrize(
    ("config", "max_model_len", "tokens"),
    [(BIMEDIX2, 8192, 38_000), (CHATDOCTOR, 2048, 16_000), ({**QWEN_14B, **AWQ}, 8192, 60_000)],
    ids=["BiMediX2", "ChatDoctor", "Qwen2.5-14B AWQ"],
)
def test_alone_on_a_3090_vllms_own_share_leaves_what_was_reckoned_by_hand(
    config: dict[str, Any], max_model_len: int, tokens: int
) -> None:
    told = estimated(config, max_model_len)
    left = (0.92 * SHOWN_BYTES - told.fixed_bytes) / told.kv_bytes_per_token
    assert left == pytest.approx(tokens, rel=0.1)


def test_the_need_is_the_sum_of_its_parts_and_each_says_its_formula_and_source() -> None:
    told = estimated(LLAMA_8B, 8192)
    assert sum(piece.bytes for piece in told.pieces) == told.need_bytes
    assert [piece.name for piece in told.pieces] == [
        *("weights", "KV, one full request", "activations", "CUDA graphs", "CUDA context", "margin")
    ]
    assert all(piece.words and piece.source for piece in told.pieces)
    assert told.kv_asked_bytes == 16 * told.kv_one_request_bytes == 16 * GIB


def test_a_start_takes_at_least_what_serving_does() -> None:
    told = estimated(LLAMA_8B, 8192, kv_cache_bytes=4 * GIB)
    assert told.startup_peak_bytes == told.fixed_bytes + 4 * GIB
    assert told.planned_bytes == told.startup_peak_bytes - told.margin_bytes
    assert estimated(LLAMA_8B, 8192).startup_peak_bytes == estimated(LLAMA_8B, 8192).need_bytes


def test_an_encoders_kv_cache_takes_nothing_whatever_its_file_says() -> None:
    told = estimated(BERT, 512, embedder=True, kv_cache_bytes=GIB)
    assert told.startup_peak_bytes == told.need_bytes
    assert told.concurrency(GIB * 2) == 16
    assert told.longest(GIB * 2) == 512


def test_a_kv_cache_too_small_for_one_request_is_said() -> None:
    assert "less than one full request" in estimated(LLAMA_8B, 8192, kv_cache_bytes=GIB // 2).assumed[-1]


def test_weights_in_host_memory_do_not_count() -> None:
    whole, spared = estimated(LLAMA_8B, 8192), estimated(LLAMA_8B, 8192, cpu_offload_bytes=6 * GIB)
    assert whole.need_bytes - spared.need_bytes == 6 * GIB
    assert "6 GiB of it in host memory" in spared.pieces[0].words


def test_the_longest_context_is_the_last_that_fits() -> None:
    told = estimated(LLAMA_8B, 8192)
    available = told.fixed_bytes + 3 * GIB + 1
    longest = told.longest(available)
    assert longest == 3 * 8192
    assert told.kv_bytes(longest) <= 3 * GIB < told.kv_bytes(longest + 1)
    assert told.longest(told.fixed_bytes - 1) == 0
    assert told.longest(1000 * GIB) == 131072, "no longer than the model's own limit"
    assert (told.concurrency(available), told.concurrency(told.fixed_bytes - 1)) == (3, 0)


def test_on_the_host_there_are_no_graphs_and_no_context() -> None:
    told = estimated(LLAMA_8B, 8192, is_gpu=False)
    assert told.graphs_bytes == 0
    assert "processes" in {piece.name for piece in told.pieces}


def test_overrides_and_an_allowed_longer_context_count() -> None:
    limited = {**MIXTRAL, "sliding_window": 4096}
    assert estimated(limited, 32768).kv_one_request_bytes < 2 * GIB
    assert estimated(limited, 32768, hf_overrides={"sliding_window": None}).kv_one_request_bytes == 4 * GIB
    assert estimated(CHATDOCTOR, 4096).max_positions == 2048
    assert estimated(CHATDOCTOR, 4096, allow_long_max_model_len=True).max_positions is None


def test_an_unknown_architecture_is_estimated_from_what_there_is_and_said() -> None:
    told = estimate(Checkpoint({"architectures": ["Odd"]}, None, 8 * GIB, "x"), Flags(max_model_len=64))
    assert told.weights_bytes == 8 * GIB
    assert told.is_known
    assert len(told.assumed) == 2
    assert not estimated({}, 64).is_known


def _asked_flags(one: Asked, answer: dict[str, Any]) -> Flags:
    return Flags(
        max_model_len=one.max_model_len,
        embedder=one.embedder,
        dtype=one.flags.get("dtype", "auto"),
        kv_cache_dtype=one.flags.get("kv_cache_dtype"),
        max_num_batched_tokens=answer["batched_tokens"],
        # The CPU build's own: larger blocks, and no step ahead of the last.
        block_size=answer["block_size"],
        async_scheduling=answer["in_flight_tokens"] > answer["batched_tokens"],
    )


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_vllm_itself_says_the_same_of_weights_and_of_keys_and_values() -> None:
    cases = [
        {
            "name": one.name,
            "config": {**one.config, "architectures": [one.served_by]},
            "is_encoder": one.config["model_type"] in ENCODER_TYPES,
            "flags": {
                "max_model_len": one.max_model_len,
                "max_num_seqs": 16,
                **one.flags,
                **({"runner": "pooling"} if one.embedder else {}),
            },
        }
        for one in ASKED
    ]
    done = subprocess.run(
        [PYTHON, CHECKOUT / "tests/catalog/estimate/ask_vllm.py"],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [answer["name"] for answer in told] == [one.name for one in ASKED], done.stderr[-2000:]
    assert [answer for answer in told if "error" in answer] == []
    wrong: list[str] = []
    for one, answer in zip(ASKED, told, strict=True):
        flags = _asked_flags(one, answer)
        mine = estimate(Checkpoint(cases[ASKED.index(one)]["config"], None, None, "x"), flags)
        compared = {
            "weights_bytes": mine.weights_bytes,
            "kv_bytes_per_token": mine.kv_bytes_per_token,
            "kv_one_request_bytes": mine.kv_one_request_bytes,
            "max_positions": mine.max_positions,
            "batched_tokens": batched_tokens(mine.architecture, replace(flags, max_num_batched_tokens=None), None),
        }
        if one.is_padded:
            del compared["weights_bytes"]
        if "quantization_config" not in one.config:
            # The same from tensors, under the names that checkpoints have.
            tensors = {name: Tensor("F32", tuple(shape)) for name, shape in answer["tensors"].items()}
            exact = estimate(Checkpoint(one.config, tensors, None, "x"), flags).weights_bytes
            assert exact == pytest.approx(answer["weights_bytes"], rel=0.01), one.name
        wrong += [
            f"{one.name}: {key} is {answer[key]}, and {value} here"
            for key, value in compared.items()
            if value != pytest.approx(answer[key], rel=0.01)
        ]
    assert wrong == []


@pytest.mark.parametrize("config", [one.config for one in ASKED], ids=[one.name for one in ASKED])
def test_a_config_with_a_wrong_value_gives_some_estimate_and_no_crash(config: dict[str, Any]) -> None:
    for key in config:
        for wrong in (None, "x", [], {}, 0, -1, [1], True, 3.5):
            told = estimated({**config, key: wrong}, 512)
            assert told.longest(16 * GIB) >= 0
            assert told.need_bytes == sum(piece.bytes for piece in told.pieces)


def test_cross_attention_is_said_not_to_be_counted() -> None:
    assert (
        "keys and values of cross attention are not counted"
        in estimated({**LLAMA_8B, "model_type": "t5"}, 64).assumed[-1]
    )
    assert not any("cross attention" in one for one in estimated(LLAMA_8B, 64).assumed)
