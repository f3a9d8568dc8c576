"""What a person is told who asks for a sleep that cannot be."""

from proxy.core.board import Board
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.limits import Limits
from proxy.core.may_sleep import why_not_sleep
from proxy.core.roster import EngineNeeds
from proxy.core.states import EngineState
from tests.core.world import GIB


def told(
    level: int,
    state: EngineState = EngineState.READY,
    own: int = 0,
    levels: tuple[int, ...] = (1, 2),
    kind: DeviceKind = DeviceKind.NVIDIA,
) -> str | None:
    """What is said to who wants `a` asleep at `level`; `own` is the level it sleeps at, the host has 8 GiB."""
    amounts = Amounts(10 * GIB, 10 * GIB, GIB, 9 * GIB)
    needs = EngineNeeds(amounts, (("d",),), 60, levels)
    board = Board([Device("d", "d", kind, 40 * GIB, 40 * GIB)], {"a": needs}, Limits(), host_bytes=8 * GIB)
    engine = board.engines["a"]
    engine.state, engine.sleep_level = state, own
    error = why_not_sleep(board, engine, level)
    return None if error is None else error.message


def test_what_is_ready_may_sleep() -> None:
    assert told(2) is None


def test_without_a_gpu_it_is_vllm_that_has_no_sleep_and_a_stop_is_the_remedy() -> None:
    assert told(1, levels=(), kind=DeviceKind.CPU) == (
        "a cannot sleep: vLLM's CPU build has no sleep that frees memory. To free its memory: bin/manage_vllm.sh stop a"
    )


def test_on_a_gpu_it_is_the_model() -> None:
    assert "sleep_levels in its file is [], or it is an embedder" in (told(1, levels=()) or "")
    assert told(1, levels=(2,)) == "a cannot sleep at level 1. Its levels: 2"


def test_one_that_sleeps_goes_no_deeper_and_what_to_do_is_said() -> None:
    deeper = told(2, EngineState.ASLEEP, own=1) or ""
    assert "sleeps already, at level 1, and vLLM takes a sleeping engine no deeper" in deeper
    assert "bin/manage_vllm.sh start a, then sleep a --level 2" in deeper
    assert "bin/manage_vllm.sh stop a" in deeper
    assert told(2, EngineState.ASLEEP, own=2) == "a sleeps already, at level 2"
    assert "at a level that is not known" in (told(1, EngineState.ASLEEP, own=0) or "")


def test_one_that_does_not_run_cannot_sleep() -> None:
    assert told(1, EngineState.STOPPED) == "a is stopped, and only a ready engine can be put to sleep"


def test_what_it_would_pin_of_the_host_is_said_in_gib() -> None:
    assert "would pin 9.00 GiB more of the host's memory, and sleepers may use 8.00 GiB more" in (told(1) or "")
