import asyncio
from pathlib import Path

import pytest

from proxy.adapters import logs
from proxy.adapters.state_files import StateFile
from proxy.lifecycle.starts import Starts, Took

KEYS = {"a": "a|0.32.0|x"}


def starts(folder: Path) -> Starts:
    return Starts(lambda model: folder / f"{model}.log", KEYS, StateFile(folder / "starts.json", dict[str, Took], {}))


async def test_the_phases_of_a_start_are_those_of_the_lines_that_come_after_its_leave_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FOLLOW_S", 0.005)
    log = tmp_path / "a.log"
    log.write_text("Loading weights took 3 seconds\n")  # of the start before
    seen = starts(tmp_path)
    assert seen.last("a") == {}
    seen.begin("a")
    await asyncio.sleep(0.05)
    with log.open("a") as file:
        for piece in ("Initializing a V1 LLM", " engine\nStarting to load", " model /m...\n"):
            file.write(piece)
            file.flush()
            await asyncio.sleep(0.05)
    await seen.ready("a")
    assert list(seen.last("a")) == ["config", "engine", "weights"]
    assert all(took_s > 0 for took_s in seen.last("a").values())
    assert starts(tmp_path).last("a") == seen.last("a"), "the next proxy knows it"


async def test_one_that_fails_or_was_not_seen_to_begin_is_not_kept(tmp_path: Path) -> None:
    seen = starts(tmp_path)
    await seen.ready("a")
    seen.begin("a")
    seen.drop("a")
    await seen.ready("a")
    assert seen.last("a") == {}


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
