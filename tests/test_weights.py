"""The hashes of weights, taken once in the background."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy import weights as module
from proxy.adapters.state_files import StateFile
from proxy.weights import Taken, Weights
from tests.fleet_stage import spec
from tests.upstream.conftest import until


class Noted:
    def __init__(self) -> None:
        self.acts: list[tuple[str, str]] = []

    def act(self, who: str, what: str, model: str) -> None:
        self.acts.append((what, model))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that were read as a whole."""
    read: list[Path] = []
    hash_of = module.hash_of

    def noted(path: Path) -> str:
        read.append(path)
        return hash_of(path)

    monkeypatch.setattr(module, "hash_of", noted)
    return read


def made(tmp_path: Path, audit: Any) -> Weights:
    specs = {name: msgspec.structs.replace(spec(name), weights=name) for name in ("a", "gone")}
    kept = StateFile(tmp_path / "weights.json", dict[str, Taken], {})
    return Weights(specs, tmp_path, kept, audit)


async def test_a_hash_is_taken_once_it_is_asked_for_and_kept(tmp_path: Path, hashed: list[Path]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.safetensors").write_text("x")
    audit = Noted()
    weights = made(tmp_path, audit)
    running = asyncio.create_task(weights.run())
    assert [weights.of(name) for name in ("a", "gone", "unknown")] == ["", "", ""]
    await until(lambda: bool(weights.of("a")))
    assert audit.acts == [(f"serves the weights {weights.of('a')} from a", "a")]
    again = made(tmp_path, audit)
    running.cancel()
    running = asyncio.create_task(again.run())
    again.of("a")
    await until(lambda: again.of("a") == weights.of("a"))
    assert hashed == [tmp_path / "a"], "another proxy need not read it again"
    (tmp_path / "a" / "x.safetensors").write_text("other")
    again.forget("a")
    again.of("a")
    await until(lambda: bool(again.of("a")))
    assert again.of("a") != weights.of("a")
    running.cancel()


async def test_what_cannot_be_read_is_told_and_hinders_nobody(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("x")

    def fails(_: Path) -> str:
        raise PermissionError("no")

    monkeypatch.setattr(module, "hash_of", fails)
    weights = made(tmp_path, Noted())
    running = asyncio.create_task(weights.run())
    weights.of("a")
    await until(lambda: "the weights of a cannot be hashed" in caplog.text)
    running.cancel()
    assert weights.of("a") == ""


@pytest.mark.parametrize("is_there", [False, True])
async def test_what_cannot_be_read_is_not_looked_for_at_each_request_but_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    looked: list[Path] = []
    hash_of, stamp_of = module.hash_of, module.stamp_of

    def look(path: Path) -> Any:
        looked.append(path)
        return stamp_of(path)

    def fails(_: Path) -> str:
        raise PermissionError("no")

    monkeypatch.setattr(module, "stamp_of", look)
    monkeypatch.setattr(module, "hash_of", fails)
    if is_there:
        (tmp_path / "a").write_text("x")
    weights = made(tmp_path, Noted())
    running = asyncio.create_task(weights.run())
    await until(lambda: weights.of("a") == "" and "a" in weights._again_at)
    for _ in range(20):
        assert weights.of("a") == ""
        await asyncio.sleep(0.005)
    assert len(looked) == 1
    (tmp_path / "a").write_text("x")
    monkeypatch.setattr(module, "hash_of", hash_of)
    weights.forget("a")
    await until(lambda: bool(weights.of("a")))
    weights.forget("a")
    (tmp_path / "a").unlink()
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    weights.of("a")
    await until(lambda: weights.of("a") == "" and len(looked) > 4)
    monkeypatch.setattr(module, "AGAIN_S", 0.5)
    for _ in range(20):  # engines start, and nothing is looked for more often for that
        weights.forget("a")
        weights.of("a")
        await asyncio.sleep(0.01)
    await until(lambda: weights.of("a") == "" and "a" in weights._again_at)
    before = len(looked)
    ends_at = asyncio.get_running_loop().time() + 1.2
    await until(lambda: weights.of("a") == "" and asyncio.get_running_loop().time() > ends_at)
    assert len(looked) - before <= 3
    (tmp_path / "a").write_text("xy")
    await until(lambda: bool(weights.of("a")))
    running.cancel()


async def test_what_is_taken_while_its_engine_starts_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_read, go_on = threading.Event(), threading.Event()
    hash_of = module.hash_of

    def slow(path: Path) -> str:
        told = hash_of(path)
        has_read.set()
        go_on.wait(10)
        return told

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(module, "hash_of", slow)
    audit = Noted()
    weights = made(tmp_path, audit)
    running = asyncio.create_task(weights.run())
    weights.of("a")
    await until(has_read.is_set)
    (tmp_path / "a").write_text("new one")
    weights.forget("a")
    assert weights.of("a") == ""
    go_on.set()
    await until(lambda: bool(weights.of("a")))
    assert weights.of("a") == hash_of(tmp_path / "a")
    new = f"serves the weights {weights.of('a')} from a"
    assert audit.acts == [("does not know the weights that were served until this start", "a"), (new, "a")]
    running.cancel()


async def test_a_name_that_is_no_utf8_hinders_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / os.fsdecode(b"x\xff")).write_text("x")
    weights = made(tmp_path, Noted())
    running = asyncio.create_task(weights.run())
    await until(lambda: bool(weights.of("a")))

    def fails(_: Path) -> str:
        raise ValueError("anything")

    weights.forget("a")
    (tmp_path / "a" / "y").write_text("y")
    monkeypatch.setattr(module, "stamp_of", fails)
    await until(lambda: weights.of("a") == "" and "a" in weights._again_at)
    monkeypatch.undo()
    weights.forget("a")
    await until(lambda: bool(weights.of("a")))
    running.cancel()
