from typing import Any

import pytest

from catalog.estimate.architecture import architecture_of
from catalog.estimate.flags import Flags
from catalog.estimate.overheads import ACTIVATION_FLOOR_BYTES, activation, batched_tokens, context, graphs, margin
from catalog.spec import GIB
from tests.catalog.estimate.asked import BERT
from tests.catalog.estimate.configurations import BIMEDIX2, LLAMA_8B, MIXTRAL, llama

LLAMA = architecture_of(LLAMA_8B, {})


def flags(**more: Any) -> Flags:
    return Flags(**{"max_model_len": 8192, **more})


def test_vllm_batches_more_tokens_on_a_large_card() -> None:
    assert batched_tokens(LLAMA, flags(), None) == 2048
    assert batched_tokens(LLAMA, flags(), 24 * GIB) == 2048
    assert batched_tokens(LLAMA, flags(), 80 * GIB) == 8192
    assert batched_tokens(LLAMA, flags(max_num_batched_tokens=512), 80 * GIB) == 512
    assert batched_tokens(LLAMA, flags(max_model_len=100, max_num_seqs=2), None) == 200


def test_an_encoder_takes_a_prompt_in_one_piece() -> None:
    assert batched_tokens(architecture_of(BERT, {}), flags(max_model_len=8192), None) == 8192


def test_the_activations_of_llama_are_those_of_vllms_log() -> None:
    """vllm-project/vllm#10511: Meta-Llama-3-8B with the defaults of a large card has a peak of 1.26 GiB."""
    told = activation(LLAMA, flags(max_num_seqs=256), 8192)
    assert (told.bytes - ACTIVATION_FLOOR_BYTES) / GIB == pytest.approx(1.26, abs=0.1)


def test_activations_grow_with_tokens_sequences_and_images() -> None:
    little = activation(LLAMA, flags(), 512).bytes
    assert little < activation(LLAMA, flags(), 2048).bytes
    assert little < activation(LLAMA, flags(max_num_seqs=256), 512).bytes
    assert activation(LLAMA, flags(embedder=True), 512).bytes < little
    seeing = architecture_of(BIMEDIX2, {})
    blind = activation(seeing, flags(language_model_only=True), 2048).bytes
    assert blind < activation(seeing, flags(), 2048).bytes
    assert activation(seeing, flags(limit_mm_per_prompt={"image": 0}), 2048).bytes == blind


def test_a_mixture_of_experts_works_on_as_many_copies_as_it_asks_experts() -> None:
    one = activation(architecture_of({**MIXTRAL, "num_experts_per_tok": 1}, {}), flags(), 2048).bytes
    assert one < activation(architecture_of(MIXTRAL, {}), flags(), 2048).bytes


def test_there_are_graphs_for_batches_up_to_twice_the_sequences() -> None:
    assert "7 batch sizes up to 32" in graphs(LLAMA, flags(max_num_seqs=16)).words
    assert "51 batch sizes up to 512" in graphs(LLAMA, flags(max_num_seqs=256)).words
    assert graphs(LLAMA, flags(enforce_eager=True)).bytes == 0
    assert graphs(LLAMA, flags(max_num_seqs=256)).bytes / GIB == pytest.approx(0.5, abs=0.1)


def test_a_process_holds_a_context_and_nccl_on_several_devices() -> None:
    assert context(flags(), is_gpu=True).bytes == GIB // 2
    assert context(flags(device_count=2), is_gpu=True).bytes > GIB // 2
    assert context(flags(), is_gpu=False).name == "processes"
    assert margin(is_gpu=True).bytes == 150 * 2**20
    assert margin(is_gpu=False).bytes == 0


def test_a_model_that_is_not_known_has_the_floor() -> None:
    unknown = architecture_of({}, {})
    assert activation(unknown, flags(), 2048).bytes == ACTIVATION_FLOOR_BYTES


def test_several_devices_share_the_widest_layer() -> None:
    config = llama(4096, 40960, 2, 32, 8, 0)
    one = activation(architecture_of(config, {}), flags(), 2048).bytes
    assert activation(architecture_of(config, {}), flags(device_count=2), 2048).bytes < one
