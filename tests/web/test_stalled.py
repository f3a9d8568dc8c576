"""Clients that do not read what is left of an answer."""

import asyncio
import socket

import pytest
from aiohttp import web

from proxy.web import stalled
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import request

BODY = b'{"model": "a"}'


async def many_bytes(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 3 * 2**20)


async def silent_client(plane: DataPlane, sent: bytes, takes_bytes: int = 4096) -> socket.socket:
    """One that takes little, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes_bytes)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", int(plane.url.rpartition(":")[2])))
    await asyncio.get_running_loop().sock_sendall(client, sent)
    return client


def is_open(client: socket.socket) -> bool:
    """Whether the other end has not reset the connection (TCP_INFO's first byte is the state, 1 is established)."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_who_reads_nothing_of_the_end_of_an_answer_does_not_keep_its_connection(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(stalled, "CLIENT_STALLED_S", 0.3)
    plane.answer = many_bytes
    with await silent_client(plane, request(BODY, version=version)) as client:
        await until(lambda: plane.fleet.asked == ["a"])
        await until(lambda: not is_open(client))
    assert plane.fleet.leases.held == 0


async def test_who_reads_slowly_gets_all_of_it(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "CLIENT_STALLED_S", 0.3)
    plane.answer = many_bytes
    loop, seen = asyncio.get_running_loop(), 0
    with await silent_client(plane, request(BODY, "Connection: close"), takes_bytes=2**16) as client:
        while data := await loop.sock_recv(client, 2**16):
            seen += data.count(b"x")
            await asyncio.sleep(0.1 if seen < 2**20 else 0)
    assert seen == 3 * 2**20
