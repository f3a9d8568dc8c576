"""The audit in its strict mode: nothing is forwarded, and no answer ends, before its line is on the disk."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.adapters import audit_files
from proxy.adapters.audit_folder import segments_in
from tests.upstream.conftest import until
from tests.web.audited import QUESTION, answer, ask, audited, hashed, lines_in, noting
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[DataPlane]:
    async with audited(tmp_path, is_strict=True) as plane:
        yield plane


@pytest.fixture
def lines(tmp_path: Path) -> Any:
    return lambda: lines_in(tmp_path)


class Disk:
    """Lets no fdatasync end until it may; knows how many lines are there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.may = threading.Event()
        self.lines = 0
        self.error: OSError | None = None
        self._folder = folder
        monkeypatch.setattr(audit_files.os, "fdatasync", self.fdatasync)

    def fdatasync(self, fd: int) -> None:
        there = sum(segment.content.count(b"\n") for segment in segments_in(self._folder))
        assert self.may.wait(10)
        if self.error is not None:
            raise self.error
        self.lines = there


@pytest.mark.parametrize("stream", [True, False])
async def test_in_the_strict_mode_nothing_is_forwarded_or_ended_before_it_is_on_the_disk(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: bool
) -> None:
    disk, reached = Disk(monkeypatch, tmp_path), asyncio.Event()

    async def streams(request: web.Request) -> web.StreamResponse:
        assert lines()[-1]["n"] <= disk.lines
        reached.set()
        disk.may.clear()
        if not stream:
            return await answer(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"index":0,"text":"planted answer"}]}\n\n')
        await asyncio.sleep(0.05)
        await response.write(b"data: [DONE]\n\n")
        return response

    plane.answer = streams
    async with connected(plane) as (reader, writer):
        writer.write(request(json.dumps(QUESTION | {"stream": stream}).encode()))
        await asyncio.sleep(0.05)
        assert not reached.is_set()
        assert plane.fleet.leases.held == 1
        disk.may.set()
        await reached.wait()
        await until(lambda: len(lines()) == 2)
        if stream:
            assert (await reader.readuntil(b"answer")).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.readuntil(b"0\r\n\r\n" if stream else b"}}")
        disk.may.set()
        await reader.readuntil(b"0\r\n\r\n" if stream else b"}}")
    assert lines()[-1]["n"] <= disk.lines
    assert lines()[-1]["answer"] == hashed(plane, "planted answer")


async def test_in_the_strict_mode_a_disk_that_fails_refuses_what_has_not_been_forwarded(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached: list[str] = []

    async def noted(request: web.Request) -> web.Response:
        reached.append(request.path)
        disk.error = OSError(5, "Input/output error")
        return await answer(request)

    plane.answer = noted
    disk = Disk(monkeypatch, tmp_path)
    disk.may.set()
    assert (await ask(plane, QUESTION)).status_code == 200, "it has been asked and answered"
    assert plane.audit is not None
    assert plane.audit.lost == 1
    got = await ask(plane, QUESTION)
    assert (got.status_code, got.headers["X-Rota-Error"]) == (503, "audit_failed")
    assert len(reached) == 1
    assert [line["kind"] for line in lines()] == ["begin", "end"] * 2
    disk.error = None
    assert (await ask(plane, QUESTION)).status_code == 200


async def test_in_the_strict_mode_a_client_that_leaves_before_its_line_is_on_the_disk_has_both_lines(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = noting(plane)
    disk = Disk(monkeypatch, tmp_path)
    async with connected(plane) as (_, writer):
        writer.write(request(json.dumps(QUESTION).encode()))
        await until(lambda: len(lines()) == 1)
    await until(lambda: plane.fleet.leases.held == 0)
    await until(lambda: len(lines()) == 2)
    disk.may.set()
    begin, end = lines()
    assert (end["of"], end["outcome"]) == (begin["n"], "client_left")
    assert (await ask(plane, QUESTION)).status_code == 200
    assert len(reached) == 1, "the one that left was never forwarded"
