"""The door: who takes too long, and what is no HTTP."""

import asyncio

import pytest
from aiohttp import web

from proxy.web import front
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole

BODY = b'{"model": "a"}'


async def answer(request: web.Request) -> web.Response:
    return web.json_response({})


async def test_who_says_nothing_or_too_little_is_cut_off_and_who_asks_is_not(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "HEAD_TIMEOUT_S", 0.3)
    plane.answer = answer
    async with connected(plane) as (silent, _), connected(plane) as (slow, writer), connected(plane) as (good, asking):
        asking.write(request(BODY))
        await good.readuntil(b"{}")
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nX-A: b\r\n")
        assert await whole(silent) == b""
        assert await whole(slow) == b""
        asking.write(request(BODY))
        await good.readuntil(b"{}")


@pytest.mark.parametrize("header", ["X: " + "y" * 20_000, "\r\n".join(f"X-{number}: y" for number in range(300))])
async def test_heads_that_are_too_large_are_refused(plane: DataPlane, header: str) -> None:
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY, header))
        assert (await whole(reader)).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))


async def test_a_path_in_another_spelling_is_not_forwarded(plane: DataPlane) -> None:
    for path in ("/V1/chat/completions", "/v1/chat/completions/", "//v1/chat/completions", "/v1/%63hat/completions"):
        async with connected(plane) as (reader, writer):
            writer.write(request(BODY, path=path))
            assert b" 404 " in await reader.readline()
    assert plane.fleet.asked == []


async def test_many_connections_come_and_go_and_none_is_kept_in_mind(plane: DataPlane) -> None:
    plane.answer = answer
    for _ in range(20):
        async with connected(plane) as (reader, writer):
            writer.write(request(BODY))
            await reader.readuntil(b"{}")
    await until(lambda: plane.fleet.leases.held == 0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("is_plain", [True, False])
async def test_bytes_that_are_no_text_are_shown_and_refused(plane: DataPlane, is_plain: bool) -> None:
    """Of a door's and of aiohttp's."""
    plane.answer = answer
    async with connected(plane) as (reader, writer):
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Agent-Type: \xff\r\n"
        writer.write(head + b"Content-Length: 2\r\n\r\n{}")
        assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 404 ")
        name = b'{"agent_type": "\\udcff"}' if is_plain else b'{"agent_type": "\xff"}'
        writer.write(request(name))
        assert (await reader.readuntil(b"}}")).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
        writer.write(request(BODY, path="/v1/completions?\xff"))
        assert (await whole(reader)).startswith(b"HTTP/1.0 400 ")


async def test_a_proxy_that_goes_away_says_so_in_a_stream_and_does_not_end_it_cleanly(plane: DataPlane) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(b"data: 1\n\n")
            await asyncio.sleep(0.01)

    plane.answer = endless
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model": "a", "stream": true}'))
        await reader.readuntil(b"data: 1")
        plane.fleet.leases.is_closing = True
        assert plane.front is not None
        await plane.front.close(0.1)
        rest = await whole(reader)
    assert b"the proxy is going away" in rest.rpartition(b"data: 1\n\n")[2]
    assert not rest.endswith(b"0\r\n\r\n")
    assert [key[3:] for key in plane.traffic._series] == [(200, "proxy_left")]


async def test_a_client_that_leaves_before_it_is_told_anything_is_counted_as_499(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as (_, writer):
        writer.write(request(BODY))
        await until(lambda: plane.fleet.leases.waiting == 1)
    await until(lambda: bool(plane.traffic._series))
    assert [key[3:] for key in plane.traffic._series] == [(499, "client_left")]


async def test_who_has_just_come_is_heard_out_when_the_proxy_goes(plane: DataPlane) -> None:
    assert plane.front is not None
    plane.answer = answered
    async with connected(plane) as (reader, writer):
        closing = asyncio.create_task(plane.front.close(5))
        await asyncio.sleep(0.1)
        writer.write(request(BODY))
        told = await whole(reader)
        await closing
    assert told.startswith(b"HTTP/1.1 200 OK")


async def answered(_: web.Request) -> web.Response:
    return web.json_response({"id": "1"})
