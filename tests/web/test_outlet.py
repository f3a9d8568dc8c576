"""What a client is told, and how its answer ends: by its HTTP, by what it wants, and no sooner than it may."""

import asyncio
import re

import pytest
from aiohttp import web

from proxy.core.endpoints import Form
from proxy.core.errors import EngineUnreachable
from proxy.core.headers import Incoming
from proxy.upstream.answer import CHUNKED, CLOSE, LENGTH, Framing
from proxy.upstream.connection import Connection
from proxy.web.asked import Asked
from proxy.web.relay import Relay
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole

BODY = b'{"model": "a", "stream": true}'
EVENT = b"data: 1\n\n"


async def quick(request: web.Request) -> web.Response:
    return web.json_response({})


async def test_a_client_of_http_1_0_gets_the_body_without_chunks_and_a_close(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(3):
            await response.write(EVENT)
        return response

    plane.answer = answer
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY, version="1.0"))
        head, _, body = (await whole(reader)).partition(b"\r\n\r\n")
    assert body == EVENT * 3
    assert b"transfer-encoding" not in head.lower()


async def test_a_client_that_wants_its_connection_closed_is_told_so(plane: DataPlane) -> None:
    plane.answer = quick
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY, "Connection: close"))
        head, _, body = (await whole(reader)).partition(b"\r\n\r\n")
    assert body == b"{}"
    assert b"\r\nConnection: close" in head


async def test_requests_follow_each_other_on_one_connection(plane: DataPlane) -> None:
    plane.answer = quick
    async with connected(plane) as (reader, writer):
        for _ in range(3):
            writer.write(request(BODY))
            assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 OK")


class Client(asyncio.Transport):
    """A client's transport, and its protocol: keeps what it is sent."""

    writing_paused = False

    def __init__(self) -> None:
        super().__init__()
        self.got = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.got += data

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.got += b"ABORTED"

    def get_write_buffer_size(self) -> int:
        return 0


class Complete(Connection):
    """An engine's connection, whose answer `is_complete` with what comes next."""

    is_complete = True


def relay_to(client: Client, *, has_chunks: bool) -> Relay:
    async def drained() -> None:
        pass

    asked = Asked(
        "POST", "/", Incoming([]), protocol=client, transport=client, drain=drained, body=b""
    )  # fmt: skip
    asked.has_chunks = has_chunks
    return Relay(asked, Form.OPENAI, asyncio.get_running_loop())


def undated(raw: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*", b"Date: now", raw)


@pytest.mark.parametrize("told_before", [False, True])
@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("has_chunks", [True, False])
@pytest.mark.parametrize(
    ("framing", "first", "last"),
    [
        (LENGTH, b"", b""),
        (LENGTH, b"", b"{}"),
        (LENGTH, b"{}", b""),
        (LENGTH, b"{", b"}"),
        (CHUNKED, b"9\r\ndata: 1\n\n\r\n", b"0\r\n\r\n"),
        (CHUNKED, b"", b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"),
        (CLOSE, b"{}", b""),
    ],
)
async def test_the_end_of_an_answer_is_held_until_it_may_go(
    framing: Framing, first: bytes, last: bytes, has_chunks: bool, strips: bool, told_before: bool
) -> None:
    """And is then the same as if it had not been held."""

    async def through(is_held: bool) -> tuple[bytes, bytes]:
        client = Client()
        relay = relay_to(client, has_chunks=has_chunks)
        if strips:
            relay.take_out_usage()
        relay.tap = lambda _: True
        relay.on_last = lambda: is_held
        if told_before:
            relay.begin_events()
        connection = Complete()
        connection.is_complete = False
        relay.use(connection, "a", lambda _: None)
        kind = b"text/event-stream" if framing is CHUNKED else b"application/json"
        connection.is_complete = not last and framing is not CLOSE
        relay.head(200, b"HTTP/1.1 200 OK\r\nContent-Type: " + kind, framing, first)
        if last:
            connection.is_complete = True
            relay.body(last)
        relay.end()
        waiting = asyncio.create_task(relay.wait())
        await asyncio.sleep(0.01)
        early = undated(client.got)
        assert waiting.done() is not is_held
        if is_held:
            relay.let_go()
        await waiting
        return early, undated(client.got)

    _, at_once = await through(False)
    early, late = await through(True)
    assert late == at_once
    if framing is not CLOSE and has_chunks:
        assert len(early) < len(late), "the end was held"
    if not last and framing is LENGTH and not told_before:
        assert early == b"", "the head is the end"


async def test_a_comment_does_not_come_after_the_end_that_is_held() -> None:
    client = Client()
    relay = relay_to(client, has_chunks=True)
    relay.tap = lambda _: True
    relay.on_last = lambda: True
    connection = Complete()
    relay.use(connection, "a", lambda _: None)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"
    relay.head(200, head, CHUNKED, b"9\r\ndata: 1\n\n\r\n0\r\n\r\n")
    relay.end()
    relay.comment("keep-alive")
    relay.let_go()
    await relay.wait()
    assert client.got.endswith(b"data: 1\n\n\r\n0\r\n\r\n")


async def test_what_is_broken_off_says_why_between_events_and_has_no_end() -> None:
    client = Client()
    relay = relay_to(client, has_chunks=True)
    relay.use(Connection(), "a", lambda _: None)
    relay.head(200, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream", CHUNKED, b"9\r\ndata: 1\n\n\r\n")
    assert not relay.break_off(EngineUnreachable("a ended")).keep_alive
    assert b"a ended" in client.got
    assert not client.got.endswith(b"0\r\n\r\n")
