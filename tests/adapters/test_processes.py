import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from proxy.adapters import cgroup, processes
from tests.installation import eventually

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, "ROTA_ENGINE": "a", "ROTA_GATE": str(tmp_path / "x" / ".." / "gate.sock")}
    (tmp_path / "x").mkdir()
    with subprocess.Popen([sys.executable, "-c", SLEEP], env=environ, start_new_session=True) as process:
        yield process
        process.kill()


def test_the_members_of_a_group_are_those_with_the_models_mark(marked: subprocess.Popen[bytes]) -> None:
    assert processes.members(marked.pid, "a") == [marked.pid]
    assert processes.members(marked.pid, "b") == []
    assert processes.members(os.getpgid(0), "a") == [], "another group"


def test_a_container_has_what_its_limit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = psutil.virtual_memory()._replace(total=1000, available=600)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: seen)
    for limit, left, expected in ((None, None, (1000, 600)), (800, 500, (800, 500)), (2000, 900, (1000, 600))):
        monkeypatch.setattr(cgroup, "limit_bytes", lambda limit=limit: limit)
        monkeypatch.setattr(cgroup, "available_bytes", lambda left=left: left)
        assert (processes.host_total_bytes(), processes.host_available_bytes()) == expected


def test_a_process_without_the_mark_is_never_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as stranger:
        assert processes.end_group(stranger.pid, "a") == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_group_is_ended_and_a_zombie_is_no_member(marked: subprocess.Popen[bytes]) -> None:
    assert processes.end_group(marked.pid, "a") == [marked.pid]
    eventually(lambda: processes.is_zombie(marked.pid))
    assert processes.members(marked.pid, "a") == []
    assert not processes.is_zombie(os.getpid())


def test_an_installation_knows_its_own_processes_by_the_gates_place(
    marked: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    [found] = processes.of_installation(tmp_path / "x" / ".." / "gate.sock")
    assert (found.pid, found.group, found.model) == (marked.pid, marked.pid, "a")
    assert processes.exists(marked.pid)
    assert processes.of_installation(tmp_path / "other.sock") == []


def test_resident_memory_is_that_of_all_the_processes(marked: subprocess.Popen[bytes]) -> None:
    mine = processes.resident_bytes([os.getpid()])
    assert mine > 2**20
    assert processes.resident_bytes([os.getpid(), marked.pid]) > mine * 0.9
    assert processes.resident_bytes([]) == 0


def test_a_process_is_at_the_gate_as_long_as_it_is_bin_engine(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "engine"
    script.parent.mkdir()
    script.write_text(SLEEP)
    with subprocess.Popen([sys.executable, str(script), "a"]) as waiting:
        try:  # a loaded kernel may show its command line a moment after it was created
            eventually(lambda: processes.is_waiting_at_gate(waiting.pid))
        finally:
            waiting.kill()
    assert not processes.is_waiting_at_gate(os.getpid())


def test_a_port_that_is_taken_has_a_holder_with_a_name_and_a_free_one_has_none() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        holder = processes.port_holder(port)
    assert holder is not None
    assert f"pid {os.getpid()}" in holder
    assert processes.port_holder(port) is None


async def test_the_end_of_a_process_is_told_at_once_and_once() -> None:
    told: list[str] = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:  # noqa: ASYNC220  # it ends at once
        processes.on_end(process.pid, lambda: told.append("first"))
        processes.on_end(process.pid, lambda: told.append("never"))()
        process.kill()
        process.wait()
    for _ in range(200):
        if told:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert told == ["first"]


async def test_a_process_that_is_gone_already_is_told_of_too() -> None:
    told = asyncio.Event()
    processes.on_end(2**22 + 1, told.set)
    await asyncio.wait_for(told.wait(), 5)


def test_a_title_and_an_environment_are_read_and_empty_where_nobody_is() -> None:
    assert "pytest" in processes.title(os.getpid()) or "python" in processes.title(os.getpid())
    assert processes.environment(os.getpid())["PATH"]
    assert (processes.title(2**22 + 1), processes.environment(2**22 + 1)) == ("", {})


def test_what_the_host_has_available_is_less_than_it_has() -> None:
    assert 0 < processes.host_available_bytes() < psutil.virtual_memory().total


def test_the_kernel_counts_whom_it_killed_for_memory() -> None:
    assert processes.oom_kills() >= 0
    assert "oom_kill " in Path("/proc/vmstat").read_text(), "the line that it is read from"
