"""An engine that is a socket: the test says each byte of it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.upstream.answer import Framing, Lost
from proxy.upstream.pool import Pool


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; what the kernel does between two ends of a connection cannot be awaited."""
    for _ in range(5_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it is not so after 5 s")


class Kept:
    """A Sink that keeps what it is told."""

    def __init__(self) -> None:
        self.status = 0
        self.head_lines = b""
        self.framing: Framing | None = None
        self.bytes = b""
        self.is_whole = False
        self.why: Lost | None = None
        self.over = asyncio.Event()

    def head(self, status: int, head: bytes, framing: Framing, first: bytes) -> None:
        self.status, self.head_lines, self.framing = status, head, framing
        self.bytes += first

    def body(self, data: bytes) -> None:
        self.bytes += data

    def end(self) -> None:
        assert not self.over.is_set()
        self.is_whole = True
        self.over.set()

    def lost(self, why: Lost) -> None:
        assert not self.over.is_set()
        self.why = why
        self.over.set()


class Engine:
    """Each connection is given to the test as a pair of streams, in their order."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.port = 0
        self.open: list[asyncio.StreamWriter] = []

    async def took(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.append(writer)
        await self.connections.put((reader, writer))

    async def answer(self, data: bytes) -> tuple[bytes, asyncio.StreamWriter]:
        """Take one connection, read a request's head, answer with `data`."""
        reader, writer = await self.connections.get()
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        return request, writer


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    server = await asyncio.start_server(engine.took, "127.0.0.1", 0)
    engine.port = server.sockets[0].getsockname()[1]
    yield engine
    server.close()
    for writer in engine.open:
        writer.close()
    await asyncio.sleep(0)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()
    await asyncio.sleep(0)
