"""Parked and forked starts of real vLLM: the same answers, nothing left over. Faults: tests/faults."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from proxy.adapters import processes
from tests.e2e.conftest import BUDGET_GIB, reals
from tests.installation import Installation, eventually, free_port, running
from tests.shared_memory import orphans_since, shared

pytestmark = pytest.mark.vllm

QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "When are you open, and what do I bring along?"}],
    "max_tokens": 60,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Twice the same model: `chat` forks, `spawned` by its entry does not."""
    root = Path(tmp_path_factory.mktemp("k"))
    chat = next(model for model in reals() if model["name"] == "chat")
    own = {"name": "spawned", "port": free_port(), "aliases": []}
    spawned = chat | own | {"env": chat["env"] | {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}}
    agents = {"Chat": "chat", "Claims": "spawned"}
    before = shared()
    with running(Installation(root, [chat, spawned], agents, BUDGET_GIB, park=True, fork=True)) as installation:
        yield installation
    assert not orphans_since(before), "shared memory is left over"


def at_gate(box: Installation, model: str) -> int:
    """Wait until it is parked, with its imports done. Returns the pid of its process."""
    eventually(lambda: box.engine(model)["parked_bytes"], within_s=120, every_s=0.2)
    return int(box.engine(model)["pid"])


def answer(box: Installation, model: str, **more: Any) -> str:
    done = box.chat(model=model, **QUESTION, **more)
    assert done.status_code == 200, done.text
    return str(done.json()["choices"][0]["message"]["content"])


def vdso(pid: int) -> str:
    """Where the kernel has put its page: elsewhere in each program that is begun anew, there again after a fork."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split()[0] for line in maps if line.endswith("[vdso]"))


def _listened(process: psutil.Process) -> set[int]:
    return {made.laddr.port for made in process.net_connections("inet") if made.status == psutil.CONN_LISTEN}


def by_title(box: Installation, model: str) -> dict[str, psutil.Process]:
    """The processes of its engine, by the title that they give themselves."""
    members = map(psutil.Process, processes.members(box.engine(model)["pid"], model))
    return {one.cmdline()[0]: one for one in members}


def test_a_forked_engine_answers_as_a_spawned_one_does_and_listens_in_one_process_only(box: Installation) -> None:
    parked = at_gate(box, "chat")
    at_gate(box, "spawned")
    forked = answer(box, "chat")
    seen = by_title(box, "chat")
    assert box.engine("chat")["pid"] == parked, "the process that was parked is the engine"
    assert {vdso(seen[title].pid) for title in ("VLLM::EngineCore", "VLLM::Worker")} == {vdso(parked)}
    port = box.port_of("chat")
    listening = {one.pid for one in seen.values() if port in _listened(one)}
    assert listening == {parked}, "with the server its port is gone"
    assert answer(box, "spawned") == forked
    seen = by_title(box, "spawned")
    assert vdso(seen["VLLM::EngineCore"].pid) != vdso(box.engine("spawned")["pid"])


def test_it_is_parked_again_once_it_has_made_room(box: Installation) -> None:
    eventually(lambda: box.engine("chat")["parked_bytes"], within_s=120, every_s=0.2)
    assert "GiB held by processes that are parked: chat" in box.manage("status").stdout
    assert box.status()["host"]["parked"].keys() == {"chat"}
