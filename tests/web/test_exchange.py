"""One exchange with an engine: when a request is sent again, and when never."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.upstream.conftest import Engine, until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


@pytest.fixture
async def sockets(plane: DataPlane) -> AsyncIterator[Engine]:
    """In place of the engine, connections whose every byte the test says."""
    await plane.stop_engine()
    engine = Engine()
    server = await asyncio.start_server(engine.took, "127.0.0.1", plane.model.port)
    yield engine
    server.close()
    for writer in engine.open:
        writer.close()
    await asyncio.sleep(0)


async def ask(plane: DataPlane, client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(f"{plane.url}/v1/chat/completions", json={"model": "a"})


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(b'{"model":"a"}'))


async def test_a_request_that_met_a_dropped_idle_connection_is_sent_again_on_another(
    plane: DataPlane, sockets: Engine
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(ask(plane, client))
        reader, writer = await sockets.connections.get()
        await read_request(reader)
        writer.write(OK)
        assert (await asking).status_code == 200
        # The engine drops the idle connection just as the next request comes. Nobody here has looked at the socket
        # since, so that the request goes out on it.
        writer.transport.abort()
        asking = asyncio.create_task(ask(plane, client))
        reader, writer = await sockets.connections.get()
        await read_request(reader)
        writer.write(OK)
        assert (await asking).status_code == 200
    assert (plane.fleet.looks, plane.fleet.leases.held, plane.fleet.leases.owed["a"]) == (0, 0, 0)


async def test_a_request_that_was_read_is_never_sent_again(plane: DataPlane, sockets: Engine) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(ask(plane, client))
        reader, writer = await sockets.connections.get()
        await read_request(reader)
        writer.write(OK)
        await asking
        asking = asyncio.create_task(ask(plane, client))
        await read_request(reader)
        writer.close()
        got = await asking
    assert (got.status_code, got.headers["X-Rota-Error"]) == (502, "engine_unreachable")
    assert "before it answered" in got.json()["error"]["message"]
    assert sockets.connections.empty()
    assert plane.fleet.looks == 1


async def test_an_engine_is_owed_an_answer_until_it_begins_to_give_one(plane: DataPlane, sockets: Engine) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(ask(plane, client))
        reader, writer = await sockets.connections.get()
        await read_request(reader)
        assert plane.fleet.leases.owed["a"] == 1
        writer.write(OK[:-2])
        await until(lambda: plane.fleet.leases.owed["a"] == 0)
        writer.write(b"{}")
        assert (await asking).status_code == 200


async def test_what_is_no_http_is_a_502(plane: DataPlane, sockets: Engine) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(ask(plane, client))
        _, writer = await sockets.connections.get()
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        got = await asking
    assert (got.status_code, got.headers["X-Rota-Error"]) == (502, "engine_unreachable")


async def test_an_answer_before_the_end_of_the_request_ends_it_and_its_connection_is_not_used_again(
    plane: DataPlane,
) -> None:
    """What would come next on that connection is, to the engine, the rest of the body."""
    received: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(b"")
        number = len(received) - 1
        while data := await reader.read(2**16):
            received[number] += data
            if data.startswith(b"POST "):
                writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    await plane.stop_engine()
    async with (
        await asyncio.start_server(refuse, "127.0.0.1", plane.model.port),
        connected(plane) as (reader, writer),
        connected(plane) as (other, asking),
    ):
        head = request(b"", "X-Agent-Type: Chat", "Content-Length: 4000000")
        writer.write(head + b"x" * 1000)
        assert (await asyncio.wait_for(reader.readuntil(b"{}"), 5)).startswith(b"HTTP/1.1 413 ")
        await until(lambda: not plane.fleet.leases.held)
        writer.write(b"x" * 1000)
        asking.write(request(b'{"model": "a"}'))
        assert (await asyncio.wait_for(other.readuntil(b"{}"), 5)).startswith(b"HTTP/1.1 413 ")
    assert [one.count(b"POST ") for one in received] == [1, 1]
    assert plane.fleet.leases.owed["a"] == 0
