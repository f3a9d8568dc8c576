import asyncio
import os
import signal
import subprocess
from dataclasses import replace

import pytest

from proxy.adapters import processes
from proxy.core import messages
from proxy.core.states import EngineState
from tests.lifecycle.stage import CARD, EXITED, RUNNING, STOPPED, Stage

READY = {"a": EngineState.READY, "b": EngineState.STOPPED}


async def look(stage: Stage, state: EngineState = EngineState.READY) -> list[messages.Event]:
    await asyncio.sleep(0)
    return await stage.watch.look(lambda: {**READY, "a": state})


def write(stage: Stage, text: str) -> None:
    """As supervisord does: behind what the log holds already."""
    with stage.log_of("a").open("a") as log:
        log.write(text)


async def test_what_supervisord_said_before_the_start_is_old_news(stage: Stage) -> None:
    assert await look(stage) == [], "not launched by us yet"
    await stage.lifecycle.start("a")
    assert await look(stage) == []
    stage.supervisor.now["a"] = EXITED
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)


async def test_an_end_carries_the_exit_status_the_diagnosis_and_the_last_lines_of_the_log(stage: Stage) -> None:
    old = "CUDA out of memory\nengine a: leave given: vllm serve\n"
    stage.log_of("a").write_text(old)
    await stage.lifecycle.start("a")
    write(stage, old + "first\n" * 100 + "ValueError: KV: No available memory for the cache blocks\n")
    stage.supervisor.now["a"] = EXITED
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert event.detail == "its process ended: exit status 1"
    assert event.last_words.endswith("cache blocks")
    assert event.diagnosis.code == "kv_cache_too_small", "of this start, not of the one before"
    assert event.by_hand is None


async def test_what_an_earlier_run_said_is_not_of_this_start_also_where_it_ended_before_leave_was_given(
    stage: Stage,
) -> None:
    write(stage, "engine a: leave given: vllm serve\nold: CUDA out of memory\n")
    await stage.lifecycle.start("a")
    stage.supervisor.now["a"] = EXITED
    [silent] = await look(stage)
    write(stage, "engine a: not started: the proxy is going away\n")
    [told] = await look(stage)
    assert isinstance(silent, messages.EngineDown)
    assert isinstance(told, messages.EngineDown)
    assert silent.last_words.endswith("says nothing of this start")
    assert told.last_words.splitlines()[1:] == ["engine a: not started: the proxy is going away"]
    assert silent.diagnosis.code == told.diagnosis.code == "unknown"


async def test_the_log_of_a_start_by_hand_begins_at_the_gate(stage: Stage, group: subprocess.Popen[str]) -> None:
    write(stage, "engine a: leave given: vllm serve\nold: CUDA out of memory\n")
    await launched(stage, group)
    stage.supervisor.now["a"] = EXITED
    [event] = await look(stage, EngineState.STARTING)
    assert isinstance(event, messages.EngineDown)
    assert event.diagnosis.code == "unknown"
    assert "old" not in event.last_words


async def test_a_stop_by_hand_is_told_from_an_end_and_a_missing_program_from_both(stage: Stage) -> None:
    await stage.lifecycle.start("a")
    stage.supervisor.now["a"] = STOPPED
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert event.by_hand == "with supervisorctl"
    del stage.supervisor.now["a"]
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert "does not know" in event.detail


async def test_another_process_under_the_same_name_means_that_the_old_one_ended(stage: Stage) -> None:
    await stage.lifecycle.start("a")
    stage.groups.note("a", 4242, (CARD,))
    assert await look(stage) == []
    stage.supervisor.now["a"] = replace(RUNNING, pid=4243)
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert event.by_hand == "with supervisorctl", "supervisord never restarts an engine by itself"


async def launched(stage: Stage, group: subprocess.Popen[str]) -> None:
    stage.supervisor.now["a"] = replace(RUNNING, pid=group.pid)
    await stage.launching.launch("a", group.pid, (CARD,), 1)
    await stage.watch.watch_members("a")


async def noticed(stage: Stage) -> None:
    for _ in range(500):
        if stage.notices:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody noticed")


@pytest.mark.parametrize("who", ["its API server", "VLLM::EngineCore"])
async def test_the_end_of_a_process_is_noticed_at_once_and_before_supervisord_knows(
    stage: Stage, group: subprocess.Popen[str], who: str
) -> None:
    await launched(stage, group)
    [core] = set(processes.members(group.pid, "a")) - {group.pid}
    pid = core if who.startswith("VLLM") else group.pid
    os.kill(pid, signal.SIGKILL)
    await noticed(stage)
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert event.detail.startswith(who)
    assert f"pid {pid}, ended" in event.detail


async def test_it_is_known_also_while_supervisord_is_away_of_which_no_news_is_no_news(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await launched(stage, group)
    stage.supervisor.is_away = True
    assert await look(stage) == []
    group.kill()
    await noticed(stage)
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)


async def test_a_stop_by_hand_is_one_although_the_end_of_the_process_is_seen_first(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await launched(stage, group)
    stage.supervisor.now["a"] = replace(STOPPED, state="STOPPING")
    group.kill()
    await noticed(stage)
    [event] = await look(stage)
    assert isinstance(event, messages.EngineDown)
    assert event.by_hand == "with supervisorctl"


async def test_a_start_that_ends_waits_for_supervisords_exit_status(stage: Stage, group: subprocess.Popen[str]) -> None:
    await launched(stage, group)
    group.kill()
    await noticed(stage)
    assert await look(stage, EngineState.STARTING) == []
    stage.supervisor.now["a"] = EXITED
    [event] = await look(stage, EngineState.STARTING)
    assert isinstance(event, messages.EngineDown)
    assert event.detail == "its process ended: exit status 1"


async def test_ends_that_are_asked_for_are_no_news(stage: Stage, group: subprocess.Popen[str]) -> None:
    await launched(stage, group)
    stage.watch.forget("a")
    group.kill()
    group.wait()
    await asyncio.sleep(0.05)
    assert stage.notices == 0
    assert stage.pulse.forgotten[-1] == "a"


async def test_an_engine_without_a_sign_of_life_is_down_after_the_time_limit(stage: Stage) -> None:
    stage.pulse.silent_s["a"] = 4.9
    assert await stage.watch.take_pulse(READY, {"a"}, ["a"]) == []
    stage.pulse.silent_s["a"] = 5.1
    [event] = await stage.watch.take_pulse(READY, set(), [])
    assert isinstance(event, messages.EngineDown)
    assert "no sign of life for 5.1 s" in event.detail
    assert stage.pulse.asked == [("a", True, True), ("a", False, False)]


@pytest.mark.parametrize("state", [EngineState.STARTING, EngineState.WAKING, EngineState.FALLING_ASLEEP])
async def test_no_pulse_is_taken_where_other_time_limits_rule(stage: Stage, state: EngineState) -> None:
    await stage.watch.take_pulse({"a": state}, set(), [])
    assert stage.pulse.asked == []


async def test_an_engine_that_the_kernel_killed_for_memory_is_known_as_such(
    stage: Stage, group: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await launched(stage, group)
    killed = processes.oom_kills() + 1
    monkeypatch.setattr(processes, "oom_kills", lambda: killed)
    stage.supervisor.now["a"] = replace(EXITED, exit_status=-1)
    [event] = await look(stage, EngineState.STARTING)
    assert isinstance(event, messages.EngineDown)
    assert event.diagnosis.code == "killed_for_memory"
    assert event.detail == "its process ended: a signal, while the kernel killed processes for want of memory"


async def test_how_it_ended_is_said_by_the_signals_name_unless_a_newer_process_runs(stage: Stage) -> None:
    stage.supervisor.now["a"] = EXITED
    assert await stage.watch.how_it_ended("a") == "exit status 1"
    stage.supervisor.now["a"] = replace(EXITED, exit_status=-1)
    assert await stage.watch.how_it_ended("a") == "a signal"
    stage.log_of("supervisord").write_text("WARN exited: a (terminated by SIGKILL; not expected)\n")
    assert await stage.watch.how_it_ended("a") == "SIGKILL"
    stage.supervisor.now["a"] = RUNNING
    assert await stage.watch.how_it_ended("a") is None
    stage.supervisor.is_away = True
    assert await stage.watch.how_it_ended("a") is None
