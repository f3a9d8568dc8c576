"""For every endpoint: what an engine gets and what a client gets are the same bytes as without the proxy, but for what
is listed here. The same is asked of real vLLM in tests/e2e/test_clients.py.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY, Endpoint, Key, Purpose
from tests.web.conftest import DataPlane

ADDED_FOR_CLIENTS = [b"X-Request-Id: same", b"X-Rota-Model: ", b"X-Rota-Waited-S: ", b"X-Rota-Swap: none"]
"""All that the proxy adds to an answer, at the end of its head."""
BODY = json.dumps({"id": "resp_1", "text": "ü", "n": [1, None]}).encode()
HEAD = b"HTTP/1.1 %b\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: uvicorn\r\nX-Odd:  kept \r\ncontent-type: %b\r\n"
JSON = HEAD % (b"200 OK", b"application/json")
EVENTS = HEAD % (b"200 OK", b"text/event-stream; charset=utf-8") + b"transfer-encoding: chunked\r\n\r\n"
ANSWERS = {
    "with its length": JSON + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    "in chunks": JSON + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n",
    "events": EVENTS + b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n",
    "an error": HEAD % (b"422 Unprocessable Content", b"application/json") + b"content-length: 2\r\n\r\n{}",
    "a status of its own": HEAD % (b"299 Odd But True", b"text/plain") + b"content-length: 1\r\n\r\nx",
    "nothing": b"HTTP/1.1 204 No Content\r\nserver: uvicorn\r\n\r\n",
    "an empty body": HEAD % (b"200 OK", b"audio/wav") + b"content-length: 0\r\n\r\n",
}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n--b--\r\n'
)


def of_engine(endpoint: Endpoint) -> tuple[Endpoint, str]:
    """`endpoint` of a named engine."""
    name = "e" if endpoint.purpose is Purpose.POOLING else "a"
    return endpoint, f"/engines/{name}{endpoint.path.format(response_id='resp_1')}"


WHOLE = [one for one in (*ENDPOINTS, *ENGINE_ONLY) if one.key is not Key.SOCKET]
PLACES = [
    *((one, one.path.format(response_id="resp_1")) for one in ENDPOINTS if one.key is not Key.SOCKET),
    *map(of_engine, WHOLE),
]


def request(endpoint: Endpoint, path: str) -> tuple[bytes, bytes]:
    """The head, without the empty line, and the body of a request to `path`."""
    name = b"e" if endpoint.purpose is Purpose.POOLING else b"a"
    kind, body = b"application/json", b'{ "model":"%b", "x" : [1.50, "\xc3\xbc"]}' % name
    if endpoint.key is Key.FORM:
        kind, body = b"multipart/form-data; boundary=b", FORM % name
    lines = [f"{endpoint.method} {path}?q=%20a HTTP/1.1".encode(), b"Host: x", b"x-ODD: Kept", b"X-Request-Id: same"]
    if endpoint.method == "GET":
        return b"\r\n".join(lines), b""
    return b"\r\n".join((*lines, b"Content-Type: " + kind, b"Content-Length: %d" % len(body))), body


class RawEngine:
    """Answers everything with `answer`, and keeps the heads and bodies that it gets."""

    def __init__(self) -> None:
        self.answer = b""
        self.received: list[tuple[bytes, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            self.received.append((head, await reader.readexactly(length)))
            writer.write(self.answer)


@asynccontextmanager
async def raw_engine(plane: DataPlane) -> AsyncIterator[RawEngine]:
    engine = RawEngine()
    await plane.stop_engine()
    async with await asyncio.start_server(engine.serve, "127.0.0.1", plane.model.port):
        yield engine


async def asked(port: int, sent: bytes, size: int) -> bytes:
    """What comes on `sent`: `size` bytes at least, and all that comes right after them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(5):
        got = await reader.readexactly(size)
        while not reader.at_eof() and (more := await more_of(reader)):
            got += more
    writer.close()
    return got


async def more_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(2**16), 0.01)
    except TimeoutError:
        return b""


@pytest.mark.parametrize("answer", ANSWERS)
async def test_bytes_are_the_same_both_ways_but_for_what_is_listed(plane: DataPlane, answer: str) -> None:
    front_port = int(plane.url.rpartition(":")[2])
    async with raw_engine(plane) as engine:
        engine.answer = ANSWERS["with its length"]
        made = Endpoint("POST", "/v1/responses")
        head, body = request(made, made.path)
        await asked(front_port, head + b"\r\n\r\n" + body, len(engine.answer))  # from now on resp_1 is remembered
        engine.answer = ANSWERS[answer]
        for endpoint, path in PLACES:
            head, body = request(endpoint, path)
            through = await asked(front_port, head + b"\r\n\r\n" + body, len(engine.answer))
            to_client(through, engine.answer)
            to_engine(engine.received[-1], head, body, plane.model.port)
            assert plane.fleet.leases.held == 0
    assert len(engine.received) == 1 + len(PLACES)


def to_client(through: bytes, direct: bytes) -> None:
    head, _, body = direct.partition(b"\r\n\r\n")
    told, _, got = through.partition(b"\r\n\r\n")
    assert got == body
    lines = told.split(b"\r\n")
    added = lines[-len(ADDED_FOR_CLIENTS) :]
    assert lines[: -len(ADDED_FOR_CLIENTS)] == head.split(b"\r\n")
    assert all(line.startswith(expected) for line, expected in zip(added, ADDED_FOR_CLIENTS, strict=True)), added


def to_engine(received: tuple[bytes, bytes], head: bytes, body: bytes, port: int) -> None:
    """Of the head another Host, and Host, Content-Length and X-Request-Id first; the path without /engines/MODEL."""
    lines, sent = received[0].split(b"\r\n"), head.split(b"\r\n")
    before, slash, rest = sent[0].partition(b"/")
    if rest.startswith(b"engines/"):
        rest = rest.split(b"/", 2)[2]
    expected = [before + slash + rest, b"Host: 127.0.0.1:%d" % port, *sent[2:]]
    assert sorted(lines) == sorted(expected)
    kept = itertools.dropwhile(lambda line: line != b"x-ODD: Kept", lines)
    assert [line for line in kept if line in sent] == [
        line for line in sent[2:] if not line.startswith((b"Content-Length", b"X-Request-Id"))
    ]
    assert received[1] == body
