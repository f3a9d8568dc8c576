"""The proxy is killed with -9 under load, again and again: what was answered is in the audit, and that is whole.

AUDIT_KILLS says how often; `make test` asks for 200.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from proxy.adapters.audit_folder import read_head, read_key, segments_in
from proxy.core.audit_check import Whole, check
from proxy.core.audit_rows import lines_of
from tests.installation import CHECKOUT

LOOK_EVERY = 10
"""What was wrong once stays so: to look after each would take longer than the kills."""
MODES = ("default", "strict")
"""In turn."""
CLIENTS = (6, 32)
"""In turn: few, whose lines are written one by one, and many, whose lines wait for each other."""
KILLS = int(os.environ.get("AUDIT_KILLS", "5"))


async def load(url: str, life: int, answered: list[str]) -> None:
    """Ask until the proxy is gone; `answered` are the ids of answers that came whole."""

    async def client(http: httpx.AsyncClient, number: int) -> None:
        for turn in range(10_000):
            body = {"model": "a", "prompt": "x", "stream": turn % 2 == 1}
            request_id = f"{life}-{number}-{turn}"
            try:
                got = await http.post(f"{url}/v1/completions", json=body, headers={"X-Request-Id": request_id})
            except httpx.HTTPError:
                return
            except AttributeError as error:  # anyio's, of a connection that was lost as it was made
                assert "getpeername" in str(error)  # noqa: PT017  # every other one is a fault
                return
            assert got.status_code == 200
            answered.append(request_id)

    async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits()) as http:
        await asyncio.gather(*(client(http, number) for number in range(CLIENTS[life // len(MODES) % 2])))


@contextlib.asynccontextmanager
async def boxes(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    argv = (sys.executable, "-m", "tests.web.audit_box", str(folder))
    pipe = asyncio.subprocess.PIPE
    made = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, cwd=CHECKOUT)
    try:
        yield made
    finally:
        assert made.stdin is not None
        made.stdin.close()
        await made.wait()


async def one_life(made: asyncio.subprocess.Process, life: int, chance: random.Random) -> list[str]:
    assert made.stdin is not None
    assert made.stdout is not None
    made.stdin.write(f"{MODES[life % 2]}\n".encode())
    pid, url = (await made.stdout.readline()).decode().split()
    answered: list[str] = []
    loading = asyncio.create_task(load(url, life, answered))
    await asyncio.sleep(chance.uniform(0.02, 0.3))
    os.kill(int(pid), signal.SIGKILL)
    await loading
    return answered


@pytest.mark.timeout(900)
async def test_whatever_was_answered_is_in_the_audit_and_the_audit_is_whole(tmp_path: Path) -> None:
    chance, answered = random.Random(7), []  # noqa: S311  # a test
    async with boxes(tmp_path) as made:
        for life in range(KILLS):
            answered += await one_life(made, life, chance)
            if life % LOOK_EVERY == 0 or life == KILLS - 1:
                told = check(segments_in(tmp_path), read_head(tmp_path), read_key(tmp_path))
                assert isinstance(told, Whole), told
    assert len(answered) > KILLS
    noted = {line["id"] for line in lines_of(segments_in(tmp_path)) if line["kind"] == "end" and line["status"] == 200}
    assert not set(answered) - noted
