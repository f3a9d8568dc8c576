"""Engines outside, with a supervisor that says what the test tells it to, and real process groups."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.render import Launch
from catalog.spec import AgentRoute, Agents, Catalog, ModelSpec
from proxy.adapters import processes
from proxy.adapters.engine import NotReady
from proxy.adapters.supervisord import NoSuchProgram, Program, SupervisorError
from proxy.core import messages
from proxy.core.errors import GateRefused
from proxy.lifecycle import Lifecycle
from tests.test_fleet import spec

RUNNING = Program("a", "RUNNING", 4242, is_alive=True, was_stopped_by_hand=False, exit_status=0)
STOPPED = replace(RUNNING, state="STOPPED", pid=None, is_alive=False, was_stopped_by_hand=True)
EXITED = replace(RUNNING, state="EXITED", pid=None, is_alive=False, exit_status=1)


class FakeSupervisor:
    def __init__(self) -> None:
        self.now: dict[str, Program] = {"a": STOPPED}
        self.is_away = False
        self.stopped: list[str] = []

    async def programs(self) -> dict[str, Program]:
        if self.is_away:
            raise SupervisorError("away")
        return self.now

    async def program(self, name: str) -> Program:
        programs = await self.programs()
        if name not in programs:
            raise NoSuchProgram(name)
        return programs[name]

    async def start(self, name: str) -> None:
        if self.is_away:
            raise SupervisorError("away")
        self.now[name] = RUNNING

    async def stop(self, name: str) -> None:
        self.stopped.append(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.now[name].pid or 0, signal.SIGKILL)
        self.now[name] = STOPPED


class FakeProbe:
    def __init__(self) -> None:
        self.error: NotReady | None = None

    async def wait_ready(self, spec: ModelSpec) -> None:
        if self.error:
            raise self.error


class FakeLaunches:
    def prepare(self, spec: ModelSpec) -> Launch:
        return Launch([spec.name], {})


class FakeDevice:
    """Shows the memory as held the first few times it is asked."""

    def __init__(self) -> None:
        self.held_for = 0
        self.asked_of: list[int] = []

    def held_bytes(self, pids: list[int]) -> int:
        return len(pids)

    def is_released(self, pids: list[int]) -> bool:
        self.asked_of = pids
        self.held_for -= 1
        return self.held_for < 0


class Stage:
    def __init__(self, folder: Path) -> None:
        models = {name: spec(name) for name in ("a", "b")}
        routes = {name.upper(): AgentRoute(model=name) for name in models}
        self.supervisor, self.probe, self.device = FakeSupervisor(), FakeProbe(), FakeDevice()
        self.lifecycle = Lifecycle(
            catalog=Catalog(folder=folder, models=models, agents=Agents(agent_types=routes)),
            supervisor=self.supervisor,
            probe=self.probe,
            launches=FakeLaunches(),
            device=self.device,
            gate_socket=folder / "gate.sock",
            log_of=lambda name: folder / f"{name}.log",
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@contextlib.contextmanager
def engine_group(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process group like an engine's: a leader that dies and a child of it that does not, both with the marks."""
    environ = {**os.environ, "ROTA_ENGINE": "a", "ROTA_GATE": str(tmp_path / "gate.sock")}
    code = "import os, time\npid = os.fork()\nif pid == 0: time.sleep(600)\nprint(pid, flush=True)\ntime.sleep(600)\n"
    leader = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environ,
        start_new_session=True,
        stdout=-1,
        text=True,
    )
    with leader:
        assert leader.stdout is not None
        leader.stdout.readline()  # both are there, and have become what they are
        yield leader
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with engine_group(tmp_path) as leader:
        yield leader


async def test_a_start_that_supervisord_refuses_is_a_failed_start(stage: Stage) -> None:
    stage.supervisor.is_away = True
    event = await stage.lifecycle.start("a")
    assert isinstance(event, messages.StartFailed)
    assert event.error.message == "a: away"


async def test_only_supervisords_own_process_may_ask_at_the_gate(stage: Stage) -> None:
    stage.supervisor.now["a"] = RUNNING
    await stage.lifecycle.check_asker("a", 4242)
    with pytest.raises(GateRefused, match="pid 1 is not supervisord's program a"):
        await stage.lifecycle.check_asker("a", 1)
    stage.supervisor.is_away = True
    with pytest.raises(GateRefused, match="away"):
        await stage.lifecycle.check_asker("a", 4242)


async def test_an_engine_that_is_never_ready_is_not_reported_ready(stage: Stage) -> None:
    assert await stage.lifecycle.wait_ready("a") == messages.EngineReady("a")
    stage.probe.error = NotReady("no")
    assert await stage.lifecycle.wait_ready("a") is None


async def test_what_supervisord_said_before_the_start_is_old_news(stage: Stage) -> None:
    assert await stage.lifecycle.look(lambda: ["a"]) == [], "not launched by us yet"
    await stage.lifecycle.start("a")
    assert await stage.lifecycle.look(lambda: ["a"]) == []
    stage.supervisor.now["a"] = EXITED
    await asyncio.sleep(0)
    [event] = await stage.lifecycle.look(lambda: ["a"])
    assert isinstance(event, messages.EngineDown)


async def test_an_end_carries_the_exit_status_and_the_last_lines_of_the_log(stage: Stage, tmp_path: Path) -> None:
    old = "CUDA out of memory\nengine a: leave given: vllm serve\n"
    (tmp_path / "a.log").write_text(
        old + "first\n" * 100 + "ValueError: KV: No available memory for the cache blocks\n"
    )
    await stage.lifecycle.start("a")
    stage.supervisor.now["a"] = EXITED
    [event] = await stage.lifecycle.look(lambda: ["a"])
    assert isinstance(event, messages.EngineDown)
    assert "Exit status 1" in event.detail
    assert event.detail.endswith("cache blocks")
    assert event.diagnosis.code == "kv_cache_too_small", "of this start, not of the one before"
    assert not event.by_hand


async def test_a_stop_by_hand_is_told_from_an_end_and_a_missing_program_from_both(stage: Stage) -> None:
    await stage.lifecycle.start("a")
    stage.supervisor.now["a"] = STOPPED
    [event] = await stage.lifecycle.look(lambda: ["a"])
    assert isinstance(event, messages.EngineDown)
    assert event.by_hand
    del stage.supervisor.now["a"]
    [event] = await stage.lifecycle.look(lambda: ["a"])
    assert isinstance(event, messages.EngineDown)
    assert "does not know" in event.detail


async def test_another_process_under_the_same_name_means_that_the_old_one_ended(stage: Stage) -> None:
    await stage.lifecycle.start("a")
    await stage.lifecycle.launch("a", 4242)
    assert await stage.lifecycle.look(lambda: ["a"]) == []
    stage.supervisor.now["a"] = replace(RUNNING, pid=4243)
    [event] = await stage.lifecycle.look(lambda: ["a"])
    assert isinstance(event, messages.EngineDown)


async def test_no_answer_from_supervisord_is_no_news_of_engines(stage: Stage) -> None:
    await stage.lifecycle.start("a")
    stage.supervisor.is_away = True
    assert await stage.lifecycle.look(lambda: ["a"]) == []


async def test_a_stop_ends_the_whole_group_and_waits_for_the_memory(stage: Stage, group: subprocess.Popen[str]) -> None:
    [child] = set(processes.members(group.pid, "a")) - {group.pid}
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    await stage.lifecycle.launch("a", group.pid)
    stage.device.held_for = 3
    assert await stage.lifecycle.stop("a") == messages.EngineStopped("a")
    assert stage.supervisor.stopped == ["a"]
    assert stage.device.held_for < 0, "asked until the memory was free"
    assert child in stage.device.asked_of
    assert group.wait(5) == -signal.SIGKILL
    assert stage.lifecycle.group_of("a") is None


async def test_a_stop_leaves_a_newer_process_of_the_same_program_alone(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await stage.lifecycle.launch("a", group.pid)
    stage.supervisor.now["a"] = replace(RUNNING, pid=4243)
    assert await stage.lifecycle.stop("a") == messages.EngineStopped("a")
    assert stage.supervisor.stopped == []
    assert group.wait(5) == -signal.SIGKILL, "the old group is ended all the same"


async def test_engines_that_run_already_are_adopted_and_strangers_are_not(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now = {"a": replace(RUNNING, pid=group.pid), "b": EXITED, "proxy": RUNNING}
    assert await stage.lifecycle.adopt() == ["a"]
    assert stage.lifecycle.group_of("a") == group.pid
    assert group.poll() is None


async def test_what_an_engine_holds_is_that_of_all_processes_of_its_group(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await stage.lifecycle.launch("a", group.pid)
    assert await stage.lifecycle.held_bytes() == {"a": 2}


async def test_without_supervisord_nothing_is_adopted_and_that_is_an_error(stage: Stage) -> None:
    stage.supervisor.is_away = True
    with pytest.raises(SupervisorError):
        await stage.lifecycle.adopt()


@pytest.mark.parametrize("program", [EXITED, replace(RUNNING, state="STOPPING", is_alive=False), RUNNING])
async def test_what_an_engine_of_an_earlier_life_left_is_ended_before_anything_is_adopted(
    stage: Stage, group: subprocess.Popen[str], program: Program
) -> None:
    """Its leader has ended, is ending, or is another process by now: nobody could serve from it."""
    stage.supervisor.now = {"a": program}
    stage.device.held_for = 2
    assert await stage.lifecycle.adopt() == (["a"] if program is RUNNING else [])
    assert group.wait(5) == -signal.SIGKILL
    assert stage.device.held_for < 0, "its memory was seen free first"


async def test_all_that_several_earlier_lives_of_one_engine_left_is_ended(
    stage: Stage, group: subprocess.Popen[str], tmp_path: Path
) -> None:
    stage.supervisor.now = {"a": EXITED}
    with engine_group(tmp_path) as older:
        assert await stage.lifecycle.adopt() == []
        assert older.wait(5) == group.wait(5) == -signal.SIGKILL
    assert stage.lifecycle.group_of("a") is None


async def test_a_stop_of_a_program_that_supervisord_does_not_know_is_done(stage: Stage) -> None:
    stage.supervisor.now = {}
    assert await asyncio.wait_for(stage.lifecycle.stop("a"), 5) == messages.EngineStopped("a")


async def test_a_stop_before_the_gate_was_asked_ends_the_process_that_supervisord_runs(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    assert await stage.lifecycle.stop("a") == messages.EngineStopped("a")
    assert group.wait(5) == -signal.SIGKILL


async def test_a_stop_waits_until_supervisord_answers(stage: Stage) -> None:
    stage.supervisor.is_away = True
    stopping = asyncio.create_task(stage.lifecycle.stop("a"))
    await asyncio.sleep(0.01)
    assert not stopping.done()
    stage.supervisor.is_away = False
    assert await asyncio.wait_for(stopping, 5) == messages.EngineStopped("a")
