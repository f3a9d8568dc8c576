import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.diff import launch_identity
from proxy.adapters import processes
from proxy.adapters.engine import EngineError
from proxy.adapters.supervisord import Program, SupervisorError
from proxy.core.messages import EngineFound
from proxy.lifecycle.groups import Launched
from tests.lifecycle.stage import CARD, EXITED, RUNNING, Stage, engine_group


async def test_an_engine_that_runs_is_adopted_awake_and_strangers_are_not(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now = {"a": replace(RUNNING, pid=group.pid), "b": EXITED, "proxy": RUNNING}
    assert await stage.lifecycle.adopt() == [EngineFound("a", (CARD,), None)]
    assert stage.groups.pid_of("a") == group.pid
    assert group.poll() is None


@pytest.mark.parametrize("level", [1, 2])
async def test_an_engine_that_sleeps_is_adopted_asleep(stage: Stage, group: subprocess.Popen[str], level: int) -> None:
    stage.supervisor.now = {"a": replace(RUNNING, pid=group.pid)}
    stage.control.level = level
    assert await stage.lifecycle.adopt() == [EngineFound("a", (CARD,), level)]


async def test_one_that_does_not_answer_is_taken_for_awake_so_that_its_probe_tells(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now = {"a": replace(RUNNING, pid=group.pid)}
    stage.control.error = EngineError("silence")
    assert await stage.lifecycle.adopt() == [EngineFound("a", (CARD,), None)]


async def test_it_is_on_the_devices_that_its_environment_names(stage: Stage, tmp_path: Path) -> None:
    stage.memory._kinds |= {"GPU-7": stage.memory._kinds[CARD], "GPU-8": stage.memory._kinds[CARD]}
    with engine_group(tmp_path, CUDA_VISIBLE_DEVICES="GPU-8,GPU-7") as leader:
        stage.supervisor.now = {"a": replace(RUNNING, pid=leader.pid)}
        assert await stage.lifecycle.adopt() == [EngineFound("a", ("GPU-8", "GPU-7"), None)]
        assert stage.groups.devices_of("a") == ("GPU-8", "GPU-7")


@pytest.mark.parametrize("program", [EXITED, replace(RUNNING, state="STOPPING", is_alive=False), RUNNING])
async def test_what_an_engine_of_an_earlier_life_left_is_ended_before_anything_is_adopted(
    stage: Stage, group: subprocess.Popen[str], program: Program
) -> None:
    """Its leader has ended, is ending, or is another process by now: nobody could serve from it."""
    stage.supervisor.now = {"a": program}
    assert [found.model for found in await stage.lifecycle.adopt()] == (["a"] if program is RUNNING else [])
    assert group.wait(5) == -signal.SIGKILL


async def test_all_that_several_earlier_lives_of_one_engine_left_is_ended(
    stage: Stage, group: subprocess.Popen[str], tmp_path: Path
) -> None:
    stage.supervisor.now = {"a": EXITED}
    with engine_group(tmp_path) as older:
        assert await stage.lifecycle.adopt() == []
        assert older.wait(5) == group.wait(5) == -signal.SIGKILL


async def test_an_engine_whose_model_the_catalog_has_no_more_is_ended(stage: Stage, tmp_path: Path) -> None:
    with engine_group(tmp_path, "gone") as leader:
        stage.supervisor.now = {"gone": replace(RUNNING, name="gone", pid=leader.pid)}
        assert await stage.lifecycle.adopt() == []
        assert leader.wait(5) == -signal.SIGKILL


async def test_another_installations_engine_is_left_alone(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with engine_group(tmp_path / "other") as leader:
        assert await stage.lifecycle.adopt() == []
        assert leader.poll() is None


async def test_without_supervisord_nothing_is_adopted_and_that_is_an_error(stage: Stage) -> None:
    stage.supervisor.is_away = True
    with pytest.raises(SupervisorError):
        await stage.lifecycle.adopt()


async def test_one_that_was_launched_by_another_entry_of_the_catalog_is_told_and_not_asked(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    stage.supervisor.now = {"a": replace(RUNNING, pid=group.pid)}
    created_at = processes.created_at(group.pid)
    stage.launching.launched["a"] = Launched(group.pid, created_at, (CARD,), launch_identity(stage.specs["a"]))
    assert await stage.lifecycle.adopt() == [EngineFound("a", (CARD,), None)]
    stage.control.calls.clear()
    stage.launching.launched["a"] = Launched(group.pid, created_at, (CARD,), "another")
    assert await stage.lifecycle.adopt() == [EngineFound("a", (CARD,), None, is_outdated=True)]
    assert stage.control.calls == []
