from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from catalog.render import CUDA_CONTEXT_BYTES
from catalog.spec import GIB
from proxy.core.devices import Amounts
from proxy.core.figures import MARGIN_BYTES, Figures, amounts, figures_key, from_log, merge, observe
from proxy.core.states import EngineState

DECLARED = Amounts(peak_bytes=12 * GIB, awake_bytes=10 * GIB, asleep_bytes=GIB, sleep_host_bytes=8 * GIB)
SOME_BYTES = st.none() | st.integers(1, 2**45)
FIGURES = st.builds(Figures, SOME_BYTES, SOME_BYTES, SOME_BYTES, SOME_BYTES, SOME_BYTES, SOME_BYTES)


def line(consumed: str = "9.29", kv_cache: int = 3 * GIB, current: str = "3.12", worker: str = "EngineCore") -> str:
    """As vLLM 0.32 prints it, in one line (gpu_worker.py, compile_or_warm_up_model)."""
    return (
        f"({worker} pid=71) INFO 11-23 22:46:01 [gpu_worker.py:1034] Free memory on device (23.1/23.69 GiB) on "
        "startup. Desired GPU memory utilization is (0.6, 14.21 GiB). "
        f"Actual usage is {consumed} GiB for consumed memory (weights + non-torch), 1.2 GiB for peak activation, and "
        f"0.25 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory={kv_cache}` "
        f"({kv_cache / GIB:.2f} GiB) to fit into requested memory, or `--kv-cache-memory=12345678901` (11.5 GiB) to "
        f"fully utilize gpu memory. Current kv cache memory in use is {current} GiB.\n"
    )


def gib(amount: float) -> int:
    return int(amount * GIB)


def near(expected: float) -> object:
    return pytest.approx(expected * GIB, abs=8)


def test_nothing_learned_leaves_what_was_declared() -> None:
    assert amounts(DECLARED, Figures()) == DECLARED


def test_what_vllm_counts_replaces_what_was_declared_with_vllms_own_margin() -> None:
    learned = Figures(logged_bytes=8 * GIB, asleep_bytes=2 * GIB, sleep_host_bytes=9 * GIB)
    taken = amounts(replace(DECLARED, peak_bytes=10 * GIB), learned)
    assert taken == Amounts(8 * GIB + MARGIN_BYTES, 8 * GIB + MARGIN_BYTES, 2 * GIB, 9 * GIB)


def test_a_peak_that_was_declared_stays() -> None:
    assert amounts(DECLARED, Figures(logged_bytes=8 * GIB)).peak_bytes == 12 * GIB


def test_what_was_seen_raises_and_never_lowers_what_is_reserved_awake() -> None:
    assert amounts(DECLARED, Figures(awake_bytes=8 * GIB)).awake_bytes == 10 * GIB
    assert amounts(DECLARED, Figures(awake_bytes=11 * GIB)).awake_bytes == 11 * GIB
    assert amounts(DECLARED, Figures(awake_bytes=11 * GIB, logged_bytes=8 * GIB)).awake_bytes == 11 * GIB


def test_the_host_memory_is_never_below_what_was_declared() -> None:
    assert amounts(DECLARED, Figures(sleep_host_bytes=GIB)).sleep_host_bytes == DECLARED.sleep_host_bytes


def test_the_peak_is_raised_to_awake_and_to_what_was_seen() -> None:
    assert amounts(DECLARED, Figures(awake_bytes=13 * GIB)).peak_bytes == 13 * GIB
    assert amounts(DECLARED, Figures(peak_bytes=14 * GIB)).peak_bytes == 14 * GIB


def test_asleep_is_cut_to_awake() -> None:
    learned = amounts(DECLARED, Figures(logged_bytes=GIB // 4))
    assert learned.asleep_bytes == learned.awake_bytes


@given(learned=FIGURES)
def test_the_amounts_are_in_order_whatever_was_learned(learned: Figures) -> None:
    result = amounts(DECLARED, learned)
    assert 0 < result.asleep_bytes <= result.awake_bytes <= result.peak_bytes
    assert result.sleep_host_bytes >= DECLARED.sleep_host_bytes


def test_the_most_seen_while_it_starts_is_the_peak() -> None:
    figures = Figures()
    for held in (3, 9, 5):
        figures = observe(figures, state=EngineState.STARTING, held_bytes=held)
    assert figures == Figures(peak_bytes=9)


def test_the_most_seen_while_it_serves_is_awake_and_raises_the_peak() -> None:
    figures = Figures(peak_bytes=5)
    for held in (4, 7, 6):
        figures = observe(figures, state=EngineState.READY, held_bytes=held)
    assert figures == Figures(peak_bytes=7, awake_bytes=7)


def test_the_last_seen_while_it_sleeps_is_asleep() -> None:
    figures = Figures(awake_bytes=9)
    for held in (3, 2):
        figures = observe(figures, state=EngineState.ASLEEP, held_bytes=held)
    assert figures == Figures(awake_bytes=9, asleep_bytes=2)


@pytest.mark.parametrize("state", [EngineState.STARTING, EngineState.READY, EngineState.ASLEEP])
@pytest.mark.parametrize("held", [0, -1])
def test_nothing_is_learned_from_nothing(state: EngineState, held: int) -> None:
    assert observe(Figures(), state=state, held_bytes=held) == Figures()


@pytest.mark.parametrize("state", [EngineState.STOPPING, EngineState.DRAINING, EngineState.FAILED])
def test_other_states_teach_nothing(state: EngineState) -> None:
    assert observe(Figures(), state=state, held_bytes=7) == Figures()


def test_vllms_line_gives_awake_and_the_kv_cache_that_fits() -> None:
    found = from_log("INFO loading\n" + line() + "INFO: Application startup complete.\n")
    assert found is not None
    assert found.logged_bytes == near(9.29 + 1.2 + 0.25 + 3.12 + CUDA_CONTEXT_BYTES / GIB)
    assert found.kv_cache_bytes == 3 * GIB
    assert found.peak_bytes is found.asleep_bytes is found.awake_bytes is None


def test_a_suggestion_above_what_was_used_counts_as_awake_since_the_next_start_takes_it() -> None:
    found = from_log(line(kv_cache=4 * GIB, current="3.5"))
    assert found is not None
    assert found.logged_bytes == near(9.29 + 1.2 + 0.25 + 4 + CUDA_CONTEXT_BYTES / GIB)


def test_without_a_positive_suggestion_the_kv_cache_in_use_is_kept() -> None:
    found = from_log(line(kv_cache=-123, current="0.05"))
    assert found is not None
    assert found.kv_cache_bytes == gib(0.05)


def test_the_last_line_of_a_worker_counts() -> None:
    assert from_log(line(consumed="5.0") + line(consumed="4.0")) == from_log(line(consumed="4.0"))


def test_of_several_workers_the_hungriest_and_the_smallest_kv_cache_count() -> None:
    text = line("5.0", 2 * GIB, "2.1", "Worker_TP0") + line("4.5", 3 * GIB, "3.0", "Worker_TP1")
    found = from_log(text)
    assert found is not None
    assert found.kv_cache_bytes == 2 * GIB
    assert found.logged_bytes == near(4.5 + 1.2 + 0.25 + 3.0 + CUDA_CONTEXT_BYTES / GIB)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Initial free memory 23.1 GiB, reserved 2.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes",
        "Model loading took 9.29 GiB memory and 12.3 seconds",
        "ValueError: Free memory on device cuda:0 (3.1/23.69 GiB) on startup is less than desired GPU memory",
        line()[: len(line()) // 2],
    ],
)
def test_a_log_without_the_whole_line_teaches_nothing(text: str) -> None:
    assert from_log(text) is None


def test_together_the_larger_peak_and_awake_and_the_newer_of_the_rest_stay() -> None:
    assert merge(Figures(9, 5, 3, 8, 4, 1), Figures(7, 6, 2, 7, 3, 2)) == Figures(9, 6, 2, 7, 3, 2)


@given(figures=FIGURES)
def test_merging_with_nothing_changes_nothing(figures: Figures) -> None:
    assert merge(figures, Figures()) == merge(Figures(), figures) == figures


def test_the_key_tells_models_versions_and_identities_apart() -> None:
    assert figures_key("a", "0.32.0", "x") == "a|0.32.0|x"
