"""Who may ask at the gate, and what becomes of it."""

import subprocess
from dataclasses import replace

import pytest

from catalog.diff import launch_identity
from catalog.render import Preparation
from proxy.adapters import processes
from proxy.core.errors import GateRefused
from proxy.lifecycle.groups import Launched
from tests.lifecycle.stage import CARD, GIB, RUNNING, Stage


async def test_only_supervisords_own_process_may_ask_at_the_gate(stage: Stage) -> None:
    stage.supervisor.now["a"] = RUNNING
    await stage.launching.check_asker("a", 4242)
    with pytest.raises(GateRefused, match="pid 1 is not supervisord's program a"):
        await stage.launching.check_asker("a", 1)
    stage.supervisor.is_away = True
    with pytest.raises(GateRefused, match="away"):
        await stage.launching.check_asker("a", 4242)


async def test_a_launch_is_prepared_with_what_is_reserved_and_learned(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)
    stage.memory._learned["a|1|x"] = replace(stage.memory.learned("a"), kv_cache_bytes=5)
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)
    assert stage.launches.asked == [("a", (CARD,), 10 * GIB, None), ("a", (CARD,), 10 * GIB, 5)]
    assert stage.groups.devices_of("a") == (CARD,)


async def test_a_launch_is_kept_for_the_next_proxy_before_the_process_has_its_answer(
    stage: Stage, group: subprocess.Popen[str]
) -> None:
    await stage.launching.launch("a", group.pid, (CARD,), 10 * GIB)
    kept = stage.launching._launched_file.read()
    entry = launch_identity(stage.specs["a"])
    assert kept == {"a": Launched(group.pid, processes.created_at(group.pid), (CARD,), entry)}
    assert stage.launching.has_leave("a", group.pid)
    assert not stage.launching.has_leave("a", group.pid + 1)
    assert not stage.launching.has_leave("b", group.pid)
    key = stage.engine_keys._file.read()["a"]
    assert stage.engine_keys.headers("a") == {"Authorization": f"Bearer {key}"}


async def test_what_may_be_prepared_is_what_the_launcher_says(stage: Stage) -> None:
    assert await stage.launching.preparation("a") == Preparation("/a", {})


def test_a_model_without_weights_is_known_before_room_is_made(stage: Stage) -> None:
    assert stage.launching.why_not("a") is None
    assert stage.launching.why_not("b") is not None
