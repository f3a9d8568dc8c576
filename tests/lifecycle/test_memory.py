import asyncio
import json

import pytest

from proxy.adapters import processes
from proxy.core import messages
from proxy.core.devices import DeviceError, DeviceKind, Placing, Process
from proxy.core.states import EngineState
from tests.lifecycle.stage import CARD, DECLARED, GIB, PID, Stage, see

STRANGER = Process(77, 5 * GIB, "python train.py")
ON_CARD = {"a": Placing((CARD,), 10 * GIB)}


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """The process PID is the engine's."""
    mine = processes.EngineProcess(PID, PID, "a", "gate")
    monkeypatch.setattr(processes, "engine_processes", lambda: [mine])


async def look(stage: Stage, state: EngineState = EngineState.READY) -> list[messages.Event]:
    if "a" not in stage.groups:
        stage.groups.note("a", PID, (CARD,))
    return await stage.memory.look({"a": state}, ON_CARD)


async def test_strangers_are_seen_with_what_they_hold(stage: Stage) -> None:
    stage.devices.looks = [see(15, STRANGER, pid=10)]
    [seen] = await look(stage)
    assert isinstance(seen, messages.StrangersSeen)
    assert (seen.by_device[CARD].bytes, seen.by_device[CARD].processes) == (5 * GIB, (STRANGER,))
    assert stage.memory.held_bytes("a") == {CARD: 10 * GIB}


async def test_more_than_was_declared_is_learned_kept_and_reserved(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12)]
    _, learned = await look(stage)
    assert isinstance(learned, messages.AmountsLearned)
    assert learned.amounts.awake_bytes == 12 * GIB
    kept = json.loads((stage.folder / "figures.json").read_text())
    assert kept["a|1|x"]["awake_bytes"] == 12 * GIB
    assert Stage(stage.folder).memory.amounts("a").awake_bytes == 12 * GIB, "in the next life, too"
    assert stage.memory.declared("a") == DECLARED


async def test_small_changes_are_no_news(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12), see(12, pid=12 - 1 / 1024), see(12, pid=12)]
    assert len(await look(stage)) == 2
    assert len(await look(stage)) == len(await look(stage)) == 1


async def test_the_peak_of_a_start_and_what_stays_asleep_are_learned_each_in_its_state(stage: Stage) -> None:
    stage.devices.looks = [see(14, pid=14), see(2, pid=2)]
    await look(stage, EngineState.STARTING)
    await look(stage, EngineState.ASLEEP)
    amounts = stage.memory.amounts("a")
    assert (amounts.peak_bytes, amounts.awake_bytes, amounts.asleep_bytes) == (14 * GIB, 10 * GIB, 2 * GIB)


async def test_nothing_is_learned_on_a_host_without_a_gpu_or_where_the_driver_gives_no_figure(stage: Stage) -> None:
    stage.devices.looks = [see(12, Process(PID, None, "x"))]
    assert len(await look(stage)) == 1
    stage.memory._kinds[CARD] = DeviceKind.CPU
    stage.devices.looks = [see(12, pid=12)]
    assert len(await look(stage)) == 1


async def test_what_vllm_said_of_its_memory_is_learned_with_the_kv_cache_that_fits(stage: Stage) -> None:
    said = (
        "engine a: leave given: vllm\nActual usage is 4.00 GiB for consumed memory (weights + non-torch), 1.00 GiB for "
        "peak activation, and 0.00 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with "
        f"`--kv-cache-memory={2 * GIB}` (2.00 GiB) to fit into requested memory, or `--kv-cache-memory=1` (1 GiB) to "
        "fully utilize gpu memory. Current kv cache memory in use is 2.00 GiB.\n"
    )
    stage.log_of("a").write_text(said)
    [learned] = await stage.memory.read_log("a")
    assert isinstance(learned, messages.AmountsLearned)
    assert learned.amounts.awake_bytes == pytest.approx(7.5 * GIB + 150 * 2**20, abs=8)
    assert stage.memory.learned("a").kv_cache_bytes == 2 * GIB
    assert await stage.memory.read_log("a") == [], "the same again is no news"


async def test_devices_that_cannot_be_read_leave_the_last_look_and_are_named_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.devices.looks = [see(15, STRANGER, pid=10), DeviceError("NVML cannot read gpu0: x")]
    await look(stage)
    assert await look(stage) == await look(stage) == []
    assert stage.memory.held_bytes("a") == {CARD: 10 * GIB}
    assert caplog.text.count("NVML cannot read gpu0") == 1


async def test_the_barrier_waits_until_memory_is_back_and_stays_so(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12)]
    await look(stage)
    before = stage.memory.before("a", (CARD,))
    stage.devices.looks = [see(12), see(6), see(0), see(0)]
    assert await stage.memory.settle("a", before) is None
    assert len(stage.devices.looks) == 1, "two looks agreed"


async def test_the_barrier_names_what_is_missing_and_who_holds_it(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12)]
    await look(stage)
    before = stage.memory.before("a", (CARD,))
    stage.devices.looks = [see(9, Process(77, None, "python train.py"))]
    missing = await stage.memory.settle("a", before)
    assert missing == "9.00 GiB of gpu0 have not come back; held by pid 77 (python train.py)"


async def test_a_stranger_who_takes_the_memory_meanwhile_does_not_hold_the_barrier(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12)]
    await look(stage)
    before = stage.memory.before("a", (CARD,))
    stage.devices.looks = [see(5, STRANGER)]
    assert await stage.memory.settle("a", before) is None


async def test_where_pids_cannot_be_seen_the_devices_free_memory_tells(stage: Stage) -> None:
    hidden = Process(10**6, 10 * GIB)
    stage.devices.looks = [see(10, hidden)]
    await look(stage)
    before = stage.memory.before("a", (CARD,))
    stage.devices.looks = [see(10, hidden), see(0)]
    assert await stage.memory.settle("a", before) is None
    stage.devices.looks = [see(10, hidden)]
    assert "10.00 GiB of gpu0" in str(await stage.memory.settle("a", before))


async def test_a_device_that_cannot_be_read_does_not_pass_for_free(stage: Stage) -> None:
    stage.devices.looks = [see(12, pid=12)]
    await look(stage)
    before = stage.memory.before("a", (CARD,))
    stage.devices.looks = [DeviceError("x")]
    assert await stage.memory.settle("a", before) is not None


async def test_a_host_without_a_gpu_has_nothing_to_settle(stage: Stage) -> None:
    stage.memory._kinds[CARD] = DeviceKind.CPU
    await look(stage)
    assert stage.memory.before("a", (CARD,)) == {}
    assert await asyncio.wait_for(stage.memory.settle("a", {}), 1) is None


async def test_once_an_engine_is_gone_what_stays_is_a_strangers(stage: Stage) -> None:
    stage.devices.looks = [see(10)]
    [seen] = await look(stage)
    assert isinstance(seen, messages.StrangersSeen)
    assert seen.by_device[CARD].bytes == 0, "it may be the engine's, which has a reservation"
    gone = stage.memory.note_gone("a")
    assert isinstance(gone, messages.StrangersSeen)
    assert gone.by_device[CARD].bytes == 10 * GIB
