"""What a client of the realtime socket says before its engine is there."""

import asyncio
import json

import pytest
from aiohttp import WSMsgType

from proxy.web import first_words
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.realtime_engine import UPDATE, Engine, connected


async def test_what_the_client_says_while_it_waits_is_not_lost(plane: DataPlane, engine: Engine) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as socket:
        await socket.receive()
        await socket.send_str(UPDATE)
        for text in ("1", "2", "3"):
            await socket.send_str(text)
        await until(lambda: plane.fleet.leases.waiting == 1)
        plane.fleet.leases.ready.set()
        heard = [(await socket.receive()).data for _ in range(4)]
        assert heard[1:] == ["heard 1", "heard 2", "heard 3"]


async def test_a_client_that_waits_has_its_pings_answered(plane: DataPlane, engine: Engine) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane, autoping=False) as socket:
        await socket.receive()
        await socket.send_str(UPDATE)
        await socket.send_str("early")
        for _ in range(3):
            await socket.ping(b"there?")
            frame = await asyncio.wait_for(socket.receive(), 5)
            assert (frame.type, frame.data) == (WSMsgType.PONG, b"there?")
        assert plane.fleet.leases.waiting == 1
        plane.fleet.leases.ready.set()
        await until(lambda: engine.heard[1:] == ["early"])


FIRST_FRAMES = [
    "no json",
    "[]",
    '{"type": "x"}',
    '{"type": "session.update", "model": 3}',
    '{"type": "session.update"}',
]


@pytest.mark.parametrize("frame", [*FIRST_FRAMES, UPDATE.replace("Chat", "nobody")])
async def test_a_first_frame_that_names_nobody_gets_an_error_event_and_a_close(plane: DataPlane, frame: str) -> None:
    async with connected(plane) as socket:
        await socket.receive()
        await socket.send_str(frame)
        told = json.loads((await socket.receive()).data)
        assert (told["type"], bool(told["error"]), bool(told["code"])) == ("error", True, True)
        closed = await socket.receive()
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1008)


async def test_who_says_too_much_or_nothing_is_sent_away(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as socket:
        await socket.receive()
        await socket.send_str(UPDATE)
        for _ in range(first_words.MOST_FRAMES_BEFORE + 1):
            await socket.send_str("x")
        assert "more than 16 frames" in json.loads((await socket.receive()).data)["error"]
    async with connected(plane) as socket:
        await socket.receive()
        await socket.send_str(UPDATE)
        for _ in range(3):
            await socket.send_bytes(bytes(first_words.MOST_BYTES_BEFORE // 2))
        assert "or 4 MiB have come" in json.loads((await socket.receive()).data)["error"]
    await until(lambda: plane.fleet.leases.waiting == 0)
    monkeypatch.setattr(first_words, "FIRST_WORD_S", 0.1)
    async with connected(plane) as socket:
        await socket.receive()
        assert json.loads((await socket.receive()).data)["code"] == "too_slow"
