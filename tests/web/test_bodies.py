"""Bodies: read, spooled, or passed on unread."""

import asyncio
import gzip
import hashlib
import os
import socket
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from proxy.web import bodies
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"size": len(body), "length": request.content_length, "start": body[:20].decode()})


LARGE = b'{"messages": "' + b"x" * (2 * bodies.STREAMED_BYTES) + b'"}'


async def test_a_large_body_with_the_agent_type_in_a_header_goes_through_unread(plane: DataPlane) -> None:
    plane.answer = echo
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/chat/completions", content=LARGE, headers={"X-Agent-Type": "Chat", "Content-Type": "a/b"}
        )
    assert got.json() == {"size": len(LARGE), "length": len(LARGE), "start": LARGE[:20].decode()}


async def test_it_is_not_even_taken_in_before_its_engine_is_ready(plane: DataPlane) -> None:
    plane.answer = echo
    plane.fleet.leases.is_at_once = False
    assert plane.listening is not None
    for one in plane.listening.sockets:  # and the connections that it takes: by itself the kernel keeps many MiB
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
    async with connected(plane) as (reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**17)
        size = 2**23
        head = request(b"", "X-Agent-Type: Chat", f"Content-Length: {size}")
        writer.write(head)
        sending = asyncio.create_task(_send(writer, size))
        await until(lambda: plane.fleet.leases.waiting == 1)
        await asyncio.sleep(0.1)
        assert not sending.done(), "the proxy does not read what it cannot pass on"
        plane.fleet.leases.ready.set()
        await sending
        assert b" 200 " in await reader.readline()


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // 2**16):
        writer.write(b" " * 2**16)
        await writer.drain()


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_large_body_of_unknown_length_goes_through_in_chunks(plane: DataPlane) -> None:
    plane.answer = echo
    pieces = [b"y" * 2**18] * 9
    headers = {"X-Agent-Type": "Chat"}
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", content=in_pieces(*pieces), headers=headers)
    assert got.json() == {"size": 9 * 2**18, "length": None, "start": "y" * 20}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model": "Chat", "agent_type": "Chat", "keep_alive": "1h"}', 200),
        (b'{"model": "claims"}', 400),
        (b"xyz", 400),
    ],
)
@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_small_body_is_the_same_whether_its_length_is_known_or_not(
    plane: DataPlane, body: bytes, status: int, coding: str
) -> None:
    plane.answer = echo
    headers = {"X-Agent-Type": "Chat", "Content-Type": "application/json"}
    headers |= {"Content-Encoding": coding} if coding else {}
    sent = gzip.compress(body) if coding else body
    async with httpx.AsyncClient(trust_env=False) as client:
        for content in (sent, in_pieces(sent[:3], sent[3:])):
            got = await client.post(f"{plane.url}/v1/completions", content=content, headers=headers)
            assert got.status_code == status
            if status == 200:
                assert got.json() == {"size": 14, "length": 14, "start": '{"model": "a"}'}


async def test_who_sends_almost_nothing_does_not_hold_an_engine(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "STALLED_S", 0.3)
    plane.answer = echo
    async with connected(plane) as (reader, writer):
        writer.write(request(b"", "X-Agent-Type: Chat", "Content-Length: 2000000"))
        sending = asyncio.create_task(_send_slowly(writer))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
        sending.cancel()
    await until(lambda: plane.fleet.leases.held == 0)


async def test_an_engine_that_takes_a_body_slowly_is_no_fault_of_the_clients(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "STALLED_S", 0.3)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(1.0)
        return await echo(request)

    plane.answer = slow
    content = b" " * (6 * 2**20)
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/completions", content=content, headers={"X-Agent-Type": "Chat"})
    assert got.json()["size"] == len(content)


async def _send_slowly(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("has_header", [True, False])
async def test_over_the_limit_it_is_refused_wherever_that_is_seen(plane: DataPlane, has_header: bool) -> None:
    plane.answer = echo

    async def pieces():  # type: ignore[no-untyped-def]  # noqa: ANN202
        for _ in range(2**23 // 2**16 + 1):
            yield b" " * 2**16

    headers = {"X-Agent-Type": "Chat"} if has_header else {}
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/chat/completions",
            content=pieces(),
            headers={"Content-Type": "application/json", **headers},
        )
    assert got.status_code == 413
    await until(lambda: plane.fleet.leases.held == 0)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_passed_on_plain(plane: DataPlane, coding: str, pack: object) -> None:
    plane.answer = echo
    body = b'{"model":"a"}'
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/chat/completions",
            content=pack(body),  # type: ignore[operator]
            headers={"Content-Type": "application/json", "Content-Encoding": coding},
        )
    assert got.json()["size"] == len(body)


async def test_a_compressed_body_that_goes_through_unread_is_passed_on_plain_and_whole(plane: DataPlane) -> None:
    """What Content-Length tells is how long it is packed."""
    plain = b'{"messages": "' + os.urandom(2**20).hex().encode() + b'"}'

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=hashlib.sha256(await request.read()).digest())

    plane.answer = answer
    headers = {"Content-Type": "application/json", "X-Agent-Type": "Chat", "Content-Encoding": "gzip"}
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/completions", content=gzip.compress(plain, 1), headers=headers)
    assert got.content == hashlib.sha256(plain).digest()


@pytest.mark.parametrize("coding", ["compress", "br", "zstd", "gzip, gzip"])
async def test_a_compression_that_is_not_known_is_refused(plane: DataPlane, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/completions", content=b'{"model": "a"}', headers=headers)
    assert (got.status_code, got.headers["Accept-Encoding"]) == (415, "gzip, deflate")
    assert "send the body as it is, or in gzip or deflate" in got.json()["error"]["message"]


async def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(plane: DataPlane) -> None:
    bomb = gzip.compress(b" " * 2**25)
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(
            f"{plane.url}/v1/chat/completions",
            content=bomb,
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        )
    assert got.status_code == 413


async def test_a_body_that_stops_coming_is_given_up(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALLED_S", 0.2)
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model"', "Content-Length: 100", "Connection: close"))
        got = await whole(reader)
    assert got.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in got
    assert plane.fleet.asked == []
