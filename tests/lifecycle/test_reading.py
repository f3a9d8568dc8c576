"""Weights are read for those who wait, once, one model at a time, and not for longer."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.adapters import page_cache
from proxy.lifecycle.reading import Reading


class Disk:
    """Reads until it may end; `ended` are those whose threads have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.is_done = threading.Event()
        monkeypatch.setattr(page_cache, "read_ahead", self._read)
        specs: Any = {model: SimpleNamespace(weights=model) for model in "ab"}
        self.reading = Reading(cast(Any, specs))

    def _read(self, weights: Path, over: threading.Event) -> None:
        self.begun.append(weights.name)
        while not (over.wait(0.001) or self.is_done.is_set()):
            pass
        self.ended.append(weights.name)

    def read(self, model: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self.reading.read(model))

    async def until(self, what: list[str], *models: str) -> None:
        async with asyncio.timeout(20):
            while what != list(models):  # noqa: ASYNC110  # a thread writes it
                await asyncio.sleep(0.001)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_once_however_many_wait(disk: Disk) -> None:
    first = disk.read("a")
    await disk.until(disk.begun, "a")
    await disk.reading.read("a")
    disk.is_done.set()
    await first
    await disk.reading.read("a")
    assert disk.begun == ["a"]


async def test_one_model_after_the_other(disk: Disk) -> None:
    first = disk.read("a")
    await disk.until(disk.begun, "a")
    second = disk.read("b")
    await asyncio.sleep(0)
    disk.reading.drop("a")
    await first
    await disk.until(disk.begun, "a", "b")
    disk.is_done.set()
    await second


async def test_one_whose_start_is_over_before_its_turn_is_not_read(disk: Disk) -> None:
    first = disk.read("a")
    await disk.until(disk.begun, "a")
    second = disk.read("b")
    await asyncio.sleep(0)
    disk.reading.drop("b")
    disk.is_done.set()
    await asyncio.gather(first, second)
    assert disk.begun == ["a"]


async def test_the_thread_ends_with_the_proxy(disk: Disk) -> None:
    reading = disk.read("a")
    await disk.until(disk.begun, "a")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await disk.until(disk.ended, "a")
