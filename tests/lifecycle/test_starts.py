import asyncio
from pathlib import Path

import pytest

from proxy.adapters import logs
from proxy.lifecycle.starts import Starts


def starts(folder: Path) -> Starts:
    return Starts(lambda model: folder / f"{model}.log")


async def test_the_phases_of_a_start_are_those_of_the_lines_that_come_after_its_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FOLLOW_S", 0.005)
    log = tmp_path / "a.log"
    log.write_text("Loading weights took 3 seconds\n")  # of the start before
    seen = starts(tmp_path)
    seen.begin("a")
    await asyncio.sleep(0.05)
    with log.open("a") as file:
        for piece in ("Initializing a V1 LLM", " engine\nStarting to load", " model /m...\n"):
            file.write(piece)
            file.flush()
            await asyncio.sleep(0.05)
    took = seen.ready("a")
    assert list(took) == ["config", "engine", "weights"]
    assert all(took_s > 0 for took_s in took.values())


async def test_of_one_that_failed_or_was_not_seen_to_begin_nothing_is_told(tmp_path: Path) -> None:
    seen = starts(tmp_path)
    assert seen.ready("a") == {}
    seen.begin("a")
    seen.drop("a")
    assert seen.ready("a") == {}


async def test_a_start_whose_log_is_silent_is_told_of_and_when_it_is_so_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FOLLOW_S", 0.005)
    monkeypatch.setattr("proxy.lifecycle.starts.SILENT_S", 0.05)
    told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
    seen = starts(tmp_path)
    seen.heard = lambda model, is_silent: told.put_nowait((model, is_silent))
    seen.begin("a")
    assert await asyncio.wait_for(told.get(), 5) == ("a", True)
    (tmp_path / "a.log").write_text("Loading weights took 3 seconds\n")
    assert await asyncio.wait_for(told.get(), 5) == ("a", False)
    seen.drop("a")
