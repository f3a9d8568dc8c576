"""The hashes of weights, taken once in the background."""

import asyncio
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
