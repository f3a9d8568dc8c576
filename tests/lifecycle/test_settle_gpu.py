"""The barrier on a real GPU: it waits while a real process holds memory, and passes once it is back."""

import subprocess

import pytest

from proxy.adapters import processes
from proxy.adapters.nvml import NvidiaDevices, has_nvidia
from proxy.core.devices import Placing
from proxy.core.states import EngineState
from proxy.lifecycle.memory import Memory
from tests.adapters.test_nvml import holder
from tests.lifecycle.stage import DECLARED, Stage

__all__ = ["holder"]


@pytest.mark.gpu
@pytest.mark.skipif(not has_nvidia(), reason="this machine has no NVIDIA GPU")
async def test_the_barrier_waits_for_a_real_process_and_passes_when_its_memory_is_back(
    stage: Stage, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = NvidiaDevices(lambda total: total)
    card = devices.devices[0].id
    mine = processes.EngineProcess(holder.pid, holder.pid, "a", "gate")
    monkeypatch.setattr(processes, "engine_processes", lambda: [mine])
    memory = Memory(
        devices=devices,
        groups=stage.groups,
        declared={"a": DECLARED},
        keys={"a": "a"},
        learned=stage.memory._file,
        log_of=stage.log_of,
        settle_timeout_s=10.0,
    )
    stage.groups.note("a", holder.pid, (card,))
    await memory.look({"a": EngineState.READY}, {"a": Placing((card,), 2**29)})
    before = memory.before("a", (card,))
    memory._settle_timeout_s = 0.5
    missing = await memory.settle("a", before)
    assert missing is not None
    holder.kill()
    holder.wait()
    memory._settle_timeout_s = 10.0
    assert await memory.settle("a", before) is None
    print(f"held {before[card].held_bytes} bytes; while it ran: {missing}")
