"""Acts on engines outside, each to its very end, with real process groups."""

import asyncio
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.adapters import page_cache, processes
from proxy.adapters.engine import EngineError
from proxy.adapters.supervisord import NoSuchProgram
from proxy.core import messages
from proxy.core.devices import DeviceKind
from proxy.core.probe import Answer
from tests.lifecycle.stage import CARD, GIB, PID, RUNNING, Stage, see


async def test_a_start_that_supervisord_refuses_is_a_failed_start(stage: Stage) -> None:
    stage.supervisor.is_away = True
    [event] = await stage.lifecycle.start("a")
    assert isinstance(event, messages.StartFailed)
    assert "supervisord did not start a" in event.error.message
    assert event.error.detail == "away"
    stage.supervisor.is_away = False
    stage.supervisor.refusal = NoSuchProgram("BAD_NAME")
    [event] = await stage.lifecycle.start("a")
    assert isinstance(event, messages.StartFailed)
    assert "bin/manage_vllm.sh reload" in event.error.message


async def test_an_engine_is_ready_when_it_has_answered_its_probe_and_the_answer_is_kept(stage: Stage) -> None:
    assert await stage.lifecycle.wait_ready("a") == [messages.EngineReady("a")]
    assert '"Rome"' in (stage.folder / "probes.json").read_text()


async def test_one_that_is_never_ready_is_not_reported_ready(stage: Stage) -> None:
    stage.control.is_never_ready = True
    assert await stage.lifecycle.wait_ready("a") == []
    assert stage.control.calls == []


async def test_one_that_is_up_and_cannot_answer_has_failed_to_start(stage: Stage) -> None:
    stage.control.error = EngineError("the probe was answered with 500: no")
    [event] = await stage.lifecycle.wait_ready("a")
    assert isinstance(event, messages.StartFailed)
    assert event.error.message == "a is up, but does not answer a short question as it should"
    assert event.error.detail == "the probe was answered with 500: no"


async def test_one_that_fell_asleep_while_it_was_adopted_is_woken(stage: Stage) -> None:
    stage.control.is_silent_until = "wake 1"
    stage.control.level = 1
    assert await stage.lifecycle.wait_ready("a") == [messages.EngineReady("a")]
    assert stage.control.calls == ["probe", "sleep_level", "wake 1", "probe"]


async def asleep(stage: Stage, before: object, *after: object) -> list[messages.Event]:
    """Look once, launched on the card, then sleep while the looks go on."""
    stage.groups.note("a", PID, (CARD,))
    stage.devices.looks = [before, *after]  # type: ignore[list-item]
    await stage.memory._see()
    return await stage.lifecycle.sleep("a", 2)


async def test_a_sleep_ends_when_the_memory_has_come_back_and_what_stays_is_learned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(monkeypatch)
    learned, slept = await asleep(stage, see(12, pid=12), see(8, pid=8), see(2, pid=2), see(2, pid=2))
    assert slept == messages.EngineAsleep("a")
    assert isinstance(learned, messages.AmountsLearned)
    assert learned.amounts.asleep_bytes == 2 * GIB


async def test_a_sleep_that_frees_nothing_has_failed_and_says_what_is_missing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(monkeypatch)
    [event] = await asleep(stage, see(12, pid=12), see(12, pid=12))
    assert isinstance(event, messages.SleepFailed)
    assert "it says that it sleeps at level 2, but 6.00 GiB of gpu0 have not come back" in event.detail


async def test_a_sleep_that_the_engine_refuses_has_failed(stage: Stage) -> None:
    stage.control.error = EngineError("/sleep was answered with 500: no")
    assert await stage.lifecycle.sleep("a", 1) == [
        messages.SleepFailed("a", "sleep at level 1: /sleep was answered with 500: no")
    ]


async def test_a_wake_is_done_when_the_probe_is_answered_as_after_the_start(stage: Stage) -> None:
    await stage.lifecycle.wait_ready("a")
    assert await stage.lifecycle.wake("a", 1) == [messages.EngineReady("a")]
    assert stage.control.calls == ["probe", "wake 1", "probe"]


async def test_a_wake_after_which_the_engine_talks_garbage_has_failed(stage: Stage) -> None:
    await stage.lifecycle.wait_ready("a")
    stage.control.said = Answer(text="!!!!")
    [event] = await stage.lifecycle.wake("a", 2)
    assert isinstance(event, messages.SleepFailed)
    assert "'!!!!', not 'Rome'" in event.detail


async def test_a_wake_that_the_engine_refuses_has_failed(stage: Stage) -> None:
    stage.control.error = EngineError("/wake_up was answered with 500: out of memory")
    [event] = await stage.lifecycle.wake("a", 1)
    assert event == messages.SleepFailed("a", "wake from level 1: /wake_up was answered with 500: out of memory")


async def test_a_stop_ends_the_whole_group_and_the_memory_is_a_strangers_until_it_is_back(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    [child] = set(processes.members(group.pid, "a")) - {group.pid}
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)
    strangers, stopped = await stage.lifecycle.stop("a")
    assert isinstance(strangers, messages.StrangersSeen)
    assert stopped == messages.EngineStopped("a")
    assert stage.supervisor.stopped == ["a"]
    assert not processes.exists(child)
    assert group.wait(5) == -signal.SIGKILL
    assert stage.groups.pid_of("a") is None


async def test_memory_that_does_not_come_back_is_said_and_left_to_the_strangers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = own(monkeypatch)
    stage.groups.note("a", PID, (CARD,))
    stage.devices.looks = [see(12, pid=12), see(12)]
    await stage.memory._see()
    there.clear()
    strangers, stopped = await stage.lifecycle.stop("a")
    assert stopped == messages.EngineStopped("a")
    assert isinstance(strangers, messages.StrangersSeen)
    assert strangers.by_device[CARD].bytes == 12 * GIB
    assert "a is stopped, but 12.00 GiB of gpu0 have not come back" in caplog.text


async def test_what_hangs_is_not_asked_first(stage: Stage, group: subprocess.Popen[str]) -> None:
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)

    async def notices() -> None:
        await asyncio.to_thread(group.wait, 10)
        stage.supervisor.now["a"] = replace(RUNNING, state="EXITED", pid=None, is_alive=False)

    noticing = asyncio.create_task(notices())
    _, stopped = await stage.lifecycle.stop("a", at_once=True)
    await noticing
    assert (group.poll(), stage.supervisor.stopped) == (-signal.SIGKILL, [])
    assert stopped == messages.EngineStopped("a"), "how it ended is our own doing"


async def test_how_an_engine_ended_by_itself_is_told_once_supervisord_knows(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)
    group.kill()
    group.wait()
    stage.supervisor.now["a"] = replace(RUNNING, state="EXITED", pid=None, is_alive=False, exit_status=3)
    _, stopped = await stage.lifecycle.stop("a", at_once=True)
    assert stopped == messages.EngineStopped("a", "exit status 3")


async def test_on_a_host_without_a_gpu_nobody_waits_for_memory(stage: Stage) -> None:
    stage.memory._kinds[CARD] = DeviceKind.CPU
    stage.groups.note("a", PID, (CARD,))
    stage.devices.looks = [see(12)]
    await stage.memory._see()
    assert await asyncio.wait_for(stage.lifecycle.sleep("a", 2), 0.25) == [messages.EngineAsleep("a")]


def own(monkeypatch: pytest.MonkeyPatch) -> list[processes.EngineProcess]:
    """The pid is the engine's, until the list is cleared."""
    there = [processes.EngineProcess(PID, PID, "a", "gate")]
    monkeypatch.setattr(processes, "engine_processes", lambda: list(there))
    return there


@pytest.mark.parametrize("over", ["ready", "stop"])
async def test_weights_are_read_no_longer_than_the_start_takes_that_they_are_for(
    stage: Stage, over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read(_folder: Path, over: threading.Event) -> None:
        loop.call_soon_threadsafe(began.set)
        assert over.wait(20)

    monkeypatch.setattr(page_cache, "read_ahead", read)
    reading = asyncio.create_task(stage.lifecycle.read_weights("a"))
    await began.wait()
    await (stage.lifecycle.wait_ready("a") if over == "ready" else stage.lifecycle.stop("a"))
    await asyncio.wait_for(reading, 10)
