"""One client's connection, as long as its requests are plain: a POST of JSON with its length, and not a large one.

For those the server of aiohttp costs more than all that is done for them otherwise. Rule: at the first thing that is
not plain (another method or path, a head in two reads, chunks, an Expect, a doubtful byte) the connection is aiohttp's,
with all that has come, for good. So whatever is hard about HTTP is read by aiohttp alone.
"""

import asyncio
import logging
import socket
from math import inf
from typing import TYPE_CHECKING, cast

import httptools
from aiohttp import web

from proxy.core.endpoints import Endpoint
from proxy.core.headers import Incoming
from proxy.keyring import LastKey
from proxy.web.asked import Asked, peer_of
from proxy.web.leaving import Leaving

if TYPE_CHECKING:
    from proxy.web.front import Front

log = logging.getLogger(__name__)

LONGEST_HEAD_BYTES = 8190
"""aiohttp's limit for one line of it."""
MOST_HEADERS = 100
"""Fewer than aiohttp takes."""
MOST_WAITING_BYTES = 2**18
"""So much of the next requests is taken in while one is being answered."""
LONGEST_BODY_BYTES = 2**18
"""A longer one is aiohttp's, which does not join it again with each piece that comes."""
MOST_DIGITS = 7
_NOT_PLAIN = frozenset(
    (b"transfer-encoding", b"connection", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer")
)

Plain = tuple[Asked, Endpoint]
Head = tuple[Endpoint, str, Incoming, int, int]
"""Of a plain request: its endpoint, target and headers; where its body begins and where it ends, in bytes."""


class Door(asyncio.Protocol):
    """Makes requests of what comes, one at a time, and has `front` answer them."""

    def __init__(self, front: "Front", closes_at: float) -> None:
        self.writing_paused = False
        self.closes_at = closes_at
        """When the connection ends if no request has come (the loop's time); never, while one is being answered."""
        self._front = front
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        """None where the client has gone, or the connection is aiohttp's."""
        self._parser = httptools.HttpRequestParser(self)
        self._complete = 0
        self._head: Head | None = None
        """Of a request whose body has not come as a whole; `_begun` is what has."""
        self._begun = b""
        self._later = b""
        self._leaving = Leaving()
        self._last_key = LastKey()
        self._peer = ""
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[Plain | None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Door {'busy' if self.closes_at == inf else 'idle'}>"

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._peer = peer_of(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        if self.closes_at == inf:
            self._later += data
            if len(self._later) > MOST_WAITING_BYTES and self._transport is not None:
                self._transport.pause_reading()
                self._leaving.begin(self._transport)
            return
        if (plain := self._take(data)) is None:
            return
        if self._next is None:
            self._task = self._loop.create_task(self._serve(plain))
        else:
            self._next.set_result(plain)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol. A client that has left wants no answer any more."""
        self._front.forget(self)
        self._transport = None
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """asyncio.Protocol."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """asyncio.Protocol."""
        self.writing_paused = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # --- for `front` ----------------------------------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """Whether no request has come on it yet."""
        return self._task is None

    def expire(self) -> None:
        """Its time is over; what is half there is aiohttp's, which knows what to say."""
        if self._begun:
            self._hand_over(self._begun)
        else:
            self.close()

    def close(self) -> asyncio.Task[None] | None:
        """No other request is taken; the task that answers one still, if there is one."""
        if self.closes_at != inf:
            if self._transport is not None:
                self._transport.close()
            return None
        return self._task

    # --- httptools ------------------------------------------------------------------------------------------------

    def on_message_complete(self) -> None:
        """httptools."""
        self._complete += 1

    # --- small things ---------------------------------------------------------------------------------------------

    async def _serve(self, plain: Plain) -> None:
        """Answer this request and those that follow, until one is not plain or the connection is not kept."""
        while True:
            asked, endpoint = plain
            try:
                answer: web.StreamResponse = await self._front.answer(asked, endpoint)
            except Exception as error:
                if not isinstance(error, ConnectionError):  # a client that has gone
                    log.exception("%r, not even its error could be told", asked)
                asked.transport.abort()
                return
            if not answer.keep_alive or self._front.is_closing:
                asked.transport.close()
                return
            self.closes_at = self._front.idle_until()
            following = None
            if data := self._later:
                self._later = b""
                asked.transport.resume_reading()
                self._leaving.stop()
                following = self._take(data)
            if following is None:
                if self._transport is None:
                    return
                self._next = self._loop.create_future()
                if (following := await self._next) is None:
                    return
            plain = following

    def _take(self, data: bytes) -> Plain | None:
        """The request that is whole with `data`, if it is plain; the connection is aiohttp's where it is not."""
        if self._head is not None:
            data, self._begun = self._begun + data, b""
        elif (head := self._read_head(data)) is not None:
            self._head = head
        else:
            self._hand_over(data)
            return None
        endpoint, target, incoming, body_at, size = self._head
        if len(data) < size:
            self._begun = data
            self.closes_at = min(self.closes_at, self._front.whole_until())
            return None
        self._head = None
        transport = self._transport
        if len(data) > size or transport is None or not self._is_accepted(data):
            self._hand_over(data)
            return None
        self.closes_at = inf
        body = data[body_at:]
        one = Asked(
            "POST",
            target,
            incoming,
            protocol=self,
            transport=transport,
            drain=self._drain,
            body=body,
            peer=self._peer,
            last_key=self._last_key,
        )
        return one, endpoint

    def _read_head(self, data: bytes) -> Head | None:
        """The head that `data` begins with, if it is whole and plain; what httptools says of it is asked later."""
        end = data.find(b"\r\n\r\n")
        if not 0 < end <= LONGEST_HEAD_BYTES or not data.startswith(b"POST /"):
            return None
        head = data[:end]
        first, *lines = head.split(b"\r\n")
        target, _, version = first[5:].partition(b" ")
        if version != b"HTTP/1.1" or not head.isascii() or b"\n " in head or b"\n\t" in head:
            return None
        if not head.count(b"\n") == head.count(b"\r") == len(lines) <= MOST_HEADERS:
            return None
        text = target.decode()
        if (endpoint := self._front.plain_endpoint(text.partition("?")[0])) is None:
            return None
        incoming = Incoming(lines)
        told = incoming.told
        length = told.get(b"content-length", b"")
        if not length.isdigit() or len(length) > MOST_DIGITS or int(length) > LONGEST_BODY_BYTES:
            return None
        if b"," in told.get(b"host", b",") or b"," in told.get(b"content-type", b""):  # none, or several
            return None
        if not told.keys().isdisjoint(_NOT_PLAIN) and not _keeps_alive_only(told):
            return None
        return endpoint, text, incoming, end + 4, end + 4 + int(length)

    def _is_accepted(self, data: bytes) -> bool:
        """Whether `data` is one request of HTTP to httptools."""
        self._complete = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._complete == 1

    def _hand_over(self, data: bytes) -> None:
        """From now on the connection is aiohttp's."""
        if (transport := self._transport) is None:
            return
        self._transport = None
        self._front.forget(self)
        protocol = self._front.take_over()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self.writing_paused:
            protocol.pause_writing()
        protocol.data_received(data)
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _drain(self) -> None:
        if self.writing_paused:
            self._drained = self._loop.create_future()
            await self._drained


def _keeps_alive_only(told: dict[bytes, bytes]) -> bool:
    return told.get(b"connection", b"").lower() == b"keep-alive" and len(told.keys() & _NOT_PLAIN) == 1
