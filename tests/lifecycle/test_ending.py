import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.adapters import processes
from proxy.lifecycle import ending
from proxy.lifecycle.ending import end_group, end_program
from tests.lifecycle.stage import RUNNING, FakeSupervisor, engine_group


async def test_supervisord_is_asked_once_and_the_group_is_told() -> None:
    supervisor = FakeSupervisor()
    supervisor.now["a"] = replace(RUNNING, pid=2**22 + 1)
    assert await end_program(supervisor, "a", 2**22 + 1) == 2**22 + 1
    assert supervisor.stopped == ["a"]


async def test_a_process_that_has_not_asked_at_the_gate_yet_is_ended_too() -> None:
    supervisor = FakeSupervisor()
    supervisor.now["a"] = replace(RUNNING, pid=2**22 + 1)
    assert await end_program(supervisor, "a", None) == 2**22 + 1


async def test_a_newer_process_of_the_same_program_is_left_alone() -> None:
    supervisor = FakeSupervisor()
    supervisor.now["a"] = RUNNING
    assert await end_program(supervisor, "a", 7) == 7
    assert supervisor.stopped == []


async def test_a_program_that_is_stopped_or_unknown_is_ended_already() -> None:
    supervisor = FakeSupervisor()
    assert await end_program(supervisor, "a", None) is None
    supervisor.now = {}
    assert await end_program(supervisor, "a", 7) == 7


async def test_it_waits_until_supervisord_answers() -> None:
    supervisor = FakeSupervisor()
    supervisor.is_away = True
    ending = asyncio.create_task(end_program(supervisor, "a", None))
    await asyncio.sleep(0.01)
    assert not ending.done()
    supervisor.is_away = False
    assert await asyncio.wait_for(ending, 5) is None


async def test_the_whole_group_is_ended_also_without_its_leader(tmp_path: Path) -> None:
    with engine_group(tmp_path) as leader:
        [child] = set(processes.members(leader.pid, "a")) - {leader.pid}
        os.kill(leader.pid, signal.SIGKILL)
        leader.wait(5)
        await asyncio.wait_for(end_group("a", leader.pid), 10)
        assert not processes.exists(child)


_SHARES = """
import time
from multiprocessing.shared_memory import SharedMemory
print(SharedMemory(create=True, size=1000).name, flush=True)
time.sleep(600)
"""


async def test_shared_memory_of_processes_that_are_killed_does_not_stay(tmp_path: Path) -> None:
    marks = {"ROTA_ENGINE": "a", "ROTA_GATE": str(tmp_path / "gate.sock")}
    argv = [sys.executable, "-c", _SHARES]
    with subprocess.Popen(  # noqa: ASYNC220  # it is only begun here
        argv, env={**os.environ, **marks}, start_new_session=True, stdout=subprocess.PIPE, stderr=-3, text=True
    ) as one:
        assert one.stdout is not None
        segment = Path("/dev/shm") / one.stdout.readline().strip()  # noqa: S108  # where Linux has it
        assert segment.exists()
        under_way = asyncio.create_task(end_group("a", one.pid))
        await asyncio.to_thread(one.wait, 10)
        await asyncio.wait_for(under_way, 10)
    assert not segment.exists()


async def test_a_tracker_that_does_not_end_is_killed_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CLEAN_UP_S", 0.3)
    marks = {"ROTA_ENGINE": "a", "ROTA_GATE": str(tmp_path / "gate.sock")}
    argv = [sys.executable, "-c", "import time; time.sleep(600)  # multiprocessing.resource_tracker"]
    with subprocess.Popen(argv, env={**os.environ, **marks}, start_new_session=True) as one:  # noqa: ASYNC220  # begun
        ended = asyncio.create_task(asyncio.to_thread(one.wait, 10))
        await asyncio.wait_for(end_group("a", one.pid), 10)
        assert await ended == -signal.SIGKILL


async def test_nobody_elses_process_is_touched(group: subprocess.Popen[str]) -> None:
    await asyncio.wait_for(end_group("another model", group.pid), 5)
    assert group.poll() is None
