"""Phrases as vLLM 0.32 prints them; tests/e2e/test_diagnosis.py asks the real one for those that a CPU can show."""

import pytest

from proxy.core.diagnose import SIGNAL_EXIT, UNKNOWN, Lasts, diagnose

ECHO = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
SAYS = [
    (
        "ValueError: Free memory on device cuda:0 (3.1/23.69 GiB) on startup is less than desired GPU memory "
        "utilization (0.55, 13.02 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "not_enough_free_memory",
        Lasts.PASSING,
    ),
    (
        "AssertionError: Error in memory profiling. Initial free memory 20.1 GiB, current free memory 21.3 GiB.",
        "neighbour_freed_memory",
        Lasts.PASSING,
    ),
    ("ValueError: No available memory for the cache blocks.", "kv_cache_too_small", Lasts.LASTING),
    (
        "ValueError: To serve at least one request with the model's max seq len (8192), 1.5 GiB KV cache is needed",
        "kv_cache_too_small",
        Lasts.LASTING,
    ),
    (
        "ValueError: User-specified max_model_len (4096) is greater than the derived max_model_len "
        "(max_position_embeddings=2048)",
        "context_too_long",
        Lasts.LASTING,
    ),
    (
        "Value error, Model architectures ['LlavaLlamaForCausalLM'] are not supported for now.",
        "architecture_not_supported",
        Lasts.LASTING,
    ),
    ("vllm serve: error: unrecognized arguments: --no-such-flag", "bad_flag", Lasts.LASTING),
    ("OSError: [Errno 98] Address already in use", "port_taken", Lasts.PASSING),
    ("OSError: It looks like the config file at 'x/y.gguf' is not a valid JSON file.", "no_gguf_plugin", Lasts.LASTING),
    (
        'gpt2.py", line 201, in __init__\n    assert not config.scale_attn_by_inverse_layer_idx\nAssertionError',
        "attention_scaled_by_layer",
        Lasts.LASTING,
    ),
    ("safetensors_rust.SafetensorError: Error while deserializing header: x", "weights_damaged", Lasts.LASTING),
    ("huggingface_hub.errors.GatedRepoError: 403 Client Error.", "gated_repository", Lasts.LASTING),
    ("RuntimeError: Cannot find any model weights with `/x`", "files_missing", Lasts.LASTING),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.", "out_of_memory", Lasts.UNKNOWN),
    (
        "VLLMValidationError: The supplied chat template string (/x.jinja) appears path-like, but doesn't exist! Tried",
        "no_chat_template",
        Lasts.LASTING,
    ),
]


@pytest.mark.parametrize(("words", "code", "lasts"), SAYS)
def test_a_cause_is_known_by_its_words_and_not_by_their_echo(words: str, code: str, lasts: Lasts) -> None:
    diagnosis = diagnose(f"INFO starting\n{words}\nTraceback\n{ECHO}\n", 1)
    assert (diagnosis.code, diagnosis.lasts) == (code, lasts)
    assert diagnosis.cause.endswith(".")
    assert diagnosis.remedy


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    assert diagnose(ECHO, 1) == UNKNOWN
    assert diagnose("", 0) == UNKNOWN


def test_the_usual_lines_of_a_good_start_are_no_cause() -> None:
    usual = (
        "Free memory on device cuda:0 (23.1/23.69 GiB) on startup. Desired GPU memory utilization is (0.55, 13 GiB).\n"
        "Available KV cache memory: 2.00 GiB\nGPU KV cache size: 10,922 tokens\nMaximum concurrency: 1.33x\n"
    )
    assert diagnose(usual, 1) == UNKNOWN


def test_an_end_by_a_signal_without_a_word_is_told_from_one_with_a_cause() -> None:
    assert diagnose("loading", SIGNAL_EXIT).code == "ended_by_signal"
    assert diagnose("torch.OutOfMemoryError: CUDA out of memory", SIGNAL_EXIT).code == "out_of_memory"


def test_argparses_exit_status_is_enough_for_a_bad_flag() -> None:
    assert diagnose("usage: vllm serve", 2).code == "bad_flag"


def test_an_end_by_a_signal_is_the_oom_killers_only_if_the_kernel_says_that_it_killed() -> None:
    assert diagnose("", -1).code == "ended_by_signal"
    assert diagnose("", -1, oom_kills=1).code == "killed_for_memory"
    assert diagnose("", 1, oom_kills=1).code == "unknown"
