"""The answer on its way to the client: slow clients, old clients, engines that end."""

import asyncio

import pytest
from aiohttp import web

from proxy.web import stalled
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole

BODY = b'{"model": "a", "stream": true}'
EVENT = b"data: 1\n\n"


class Streaming:
    """An engine that streams, and counts the pieces that were taken from it."""

    def __init__(self, piece_bytes: int, pieces: int) -> None:
        self.pieces = pieces
        self.whole_bytes = piece_bytes * pieces
        self.sent = 0
        self._piece = b"x" * piece_bytes

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(self.pieces):
            await response.write(self._piece)
            self.sent += 1
        return response

    async def waits(self) -> None:
        """Until nothing more is taken."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(0.2)


async def test_a_client_that_reads_slowly_makes_the_engine_wait_and_loses_nothing(plane: DataPlane) -> None:
    engine = Streaming(piece_bytes=2**16, pieces=400)
    plane.answer = engine.answer
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY))
        await reader.readuntil(b"\r\n\r\n")
        await engine.waits()
        assert engine.sent < engine.pieces, "what nobody reads is not fetched"
        async with connected(plane) as (other, other_writer):  # nobody else is held up
            plane.answer = quick
            other_writer.write(request(BODY))
            assert (await other.readline()).startswith(b"HTTP/1.1 200")
        raw = await _until_last_chunk(reader)
    assert raw.count(b"x") == engine.whole_bytes
    assert engine.sent == engine.pieces


async def test_an_old_client_that_reads_slowly_makes_the_engine_wait_too(plane: DataPlane) -> None:
    engine = Streaming(piece_bytes=2**18, pieces=200)
    plane.answer = engine.answer
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY, version="1.0"))
        await reader.readuntil(b"\r\n\r\n")
        await engine.waits()
        assert engine.sent < engine.pieces
        assert (await whole(reader)).count(b"x") == engine.whole_bytes


async def test_a_client_that_reads_nothing_is_cut_off_and_its_lease_given_back(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalled, "CLIENT_STALLED_S", 0.3)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2**25)

    plane.answer = answer
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY))
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: plane.fleet.leases.held == 0)


async def quick(request: web.Request) -> web.Response:
    return web.json_response({})


async def _until_last_chunk(reader: asyncio.StreamReader) -> bytes:
    raw = bytearray()
    async with asyncio.timeout(20):
        while not raw.endswith(b"0\r\n\r\n"):
            raw += await reader.read(2**16)
    return bytes(raw)


@pytest.mark.parametrize("is_between", [True, False])
async def test_an_engine_that_ends_in_a_stream_is_told_of_between_events_and_never_ends_it_cleanly(
    plane: DataPlane, is_between: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(EVENT if is_between else b"data: half")
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    plane.answer = answer
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY))
        raw = b""
        try:
            raw = await whole(reader)
        except ConnectionResetError:
            assert not is_between
    assert (b"engine_unreachable" in raw) is is_between
    assert not raw.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in raw
    await until(lambda: plane.fleet.leases.held == 0)
    assert plane.fleet.looks == 1
