"""The answer of an engine on its way to the client: its bytes go straight to the client's transport.

Rule: after the first byte is out, a failure is never a clean end. A client that reads slowly makes the engine's
connection be read slowly, so that it holds no more than one read beside its transport's own buffer.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import httptools
from aiohttp import web

from proxy.core import headers, sse
from proxy.core.chunks import chunk, ends_event, framed
from proxy.core.endpoints import Form
from proxy.core.errors import RotaError
from proxy.core.strip import Strip
from proxy.upstream.answer import CHUNKED, CLOSE, LENGTH, Framing, Lost
from proxy.upstream.connection import Connection
from proxy.upstream.tcp_info import reset
from proxy.upstream.unchunked import Unchunked
from proxy.web.asked import Asked
from proxy.web.passing import Mode, Tap
from proxy.web.sent import CLOSED, KEPT_OPEN
from proxy.web.stalled import see_off, until_taken

MOST_OF_AN_ERROR_BYTES = 2**20
_SSE = b"text/event-stream"


_AS_IT_COMES, _UNCHUNKED, _STRIPPED, _KEPT = Mode  # as in proxy.upstream.answer


class Relay:
    """One answer to one request; a Sink."""

    __slots__ = (
        *("own", "model", "status", "has_answer", "first_byte_at", "is_sse", "bytes_out", "events", "is_over"),
        *("why_lost", "tap", "on_last", "news", "_asked", "_protocol", "_transport", "_form", "_loop", "_keeps_alive"),
        *("_connection", "_on_head", "_mode", "_unchunked", "_kept", "_last", "_in_chunks", "_ends_by_close", "_strip"),
    )

    def __init__(self, asked: Asked, form: Form, loop: asyncio.AbstractEventLoop) -> None:
        self._asked = asked
        self._protocol = asked.protocol
        self._transport = asked.transport
        self._form = form
        self._loop = loop
        self._keeps_alive = asked.keeps_alive
        self._in_chunks = asked.has_chunks
        """What has no length goes to the client in chunks; else its HTTP is too old, and the end is a close."""
        self._ends_by_close = False
        self._strip: Strip | None = None
        self.own = b""
        """The header lines of ours, without the last CRLF."""
        self.model = ""
        """Whose engine it is asked of."""
        self.status = 0
        """What the client has been told."""
        self.has_answer = False
        """The engine has begun to answer."""
        self.first_byte_at = 0.0
        self.is_sse = False
        self.bytes_out = self.events = 0
        self.tap: Tap | None = None
        self.on_last: Callable[[], None] | None = None
        """Called once, when the end of the answer has come and the client has not got it yet."""
        self.news = loop.create_future()
        """Done when there is something to see to: the end (`is_over`), or a client that reads too slowly."""
        self.is_over = False
        self.why_lost: Lost | None = None
        self._connection: Connection | None = None
        self._on_head: Callable[[Relay], None] | None = None
        self._mode = _AS_IT_COMES
        self._unchunked: Unchunked | None = None
        self._kept = self._last = b""

    def __repr__(self) -> str:
        return f"<Relay {self.status or 'before its head'} {self.bytes_out} bytes>"

    @property
    def has_begun(self) -> bool:
        """Whether the client has been told a status."""
        return self.status != 0

    def take_out_usage(self) -> None:
        """Its client has not asked for the event that tells the usage, and does not get it."""
        self._strip = Strip(in_chunks=self._in_chunks)

    # --- before the engine answers --------------------------------------------------------------------------------

    def answer(self, status: int, told: Mapping[str, str], body: bytes) -> web.StreamResponse:
        """Answer with something of our own: JSON, with the headers `told`."""
        lines = (f"{name}: {value}" for name, value in told.items())
        own = (*lines, "Content-Type: application/json; charset=utf-8", f"Content-Length: {len(body)}")
        self._write(headers.of_own(status) + "\r\n".join(own).encode() + self._closing() + b"\r\n\r\n" + body)
        return self.sent()

    def begin_events(self) -> None:
        """Tell the client 200 and that events will come, before it is known what the engine will say."""
        self.status, self.is_sse = 200, True
        head = headers.of_own(self.status) + sse.HEAD
        if not self._in_chunks:
            self._keeps_alive, self._ends_by_close, head = False, True, headers.without_chunks(head)
        self._write(headers.for_client(head, self.own + self._closing()))

    def comment(self, text: str) -> None:
        """Say something that clients of event streams skip, if that is possible now: between two events."""
        if self.is_over or not self.is_sse or self._mode is _KEPT or self._protocol.writing_paused:
            return
        if ends_event(self._last, in_chunks=self._in_chunks):
            self._write(framed(sse.comment(text), in_chunks=self._in_chunks))

    def error_event(self, error: RotaError) -> web.StreamResponse:
        """End the stream that was begun with the error, in the endpoint's own form."""
        self._write(framed(sse.error(error, self._form), in_chunks=self._in_chunks, is_last=True))
        return self.sent()

    # --- the engine's answer: Sink --------------------------------------------------------------------------------

    def use(self, connection: Connection, model: str, on_head: Callable[["Relay"], None]) -> None:
        """Where the answer comes from; `on_head` is called once, when it comes or surely never will."""
        self._connection, self.model, self._on_head = connection, model, on_head
        if self.is_over:
            self.why_lost, self.is_over = None, False
        if self.news.done():
            self.news = self._loop.create_future()

    def settle(self) -> None:
        """Whether the engine has begun to answer is known."""
        if (on_head := self._on_head) is not None:
            self._on_head = None
            on_head(self)

    def head(self, status: int, head: bytes, framing: Framing, first: bytes) -> None:
        """Sink."""
        self.first_byte_at, self.has_answer = self._loop.time(), True
        if self.has_begun:
            if status != 200 or framing is not CHUNKED:
                self._mode = _KEPT
            elif not self._in_chunks:
                self._mode = _UNCHUNKED
            elif self._strip is not None:
                self._mode = _STRIPPED
            if self._mode in (_KEPT, _UNCHUNKED) and framing is CHUNKED:
                self._unchunked = Unchunked()
            self.settle()
            if first:
                self.body(first)
            return
        self.status = status
        self.is_sse = _SSE in head and framing is CHUNKED
        if framing is not LENGTH and not self._in_chunks:
            self._keeps_alive = False
            if framing is CHUNKED:
                self._mode, self._unchunked = _UNCHUNKED, Unchunked()
                head = headers.without_chunks(head)
        elif framing is CLOSE:
            self._keeps_alive = False
        elif self.is_sse and self._strip is not None:
            self._mode = _STRIPPED
        self._ends_by_close = framing is CLOSE or self._mode is _UNCHUNKED
        head = headers.for_client(head, self.own + self._closing())
        self.settle()
        if not first:
            if self._connection is not None and self._connection.is_complete:
                self._tell_last()
            with suppress(RuntimeError):  # as in `body`
                self._transport.write(head)
        elif self._mode is _AS_IT_COMES:
            self.body(first, before=head)
        else:
            self._write(head)
            self.body(first)

    def body(self, data: bytes, before: bytes = b"") -> None:
        """Sink. The hot path: once for every event of a stream; `before` goes out with it, in one write."""
        if self._mode is not _AS_IT_COMES:
            self._body_otherwise(data)
            return
        if self.tap is not None:
            self._look(data)
        try:
            self._transport.write(before + data if before else data)
        except RuntimeError:  # uvloop: it is closed. The request is about to be cancelled.
            return
        self._counted(data)
        if self._protocol.writing_paused:
            self._hold()

    def end(self) -> None:
        """Sink."""
        self.is_over = True
        self._tell_last()
        if self._mode is _KEPT:
            self._write(framed(sse.foreign_error(self._kept, self._form), in_chunks=self._in_chunks, is_last=True))
        if not self.news.done():
            self.news.set_result(None)

    def lost(self, why: Lost) -> None:
        """Sink."""
        self.is_over, self.why_lost = True, why
        if not self.news.done():
            self.news.set_result(None)

    # --- the end --------------------------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Until the answer is whole, or lost: then `why_lost` says so."""
        while True:
            await self.news
            if self.is_over:
                return
            # The client's transport is full: the engine's connection is not read until it has room again.
            self.news = self._loop.create_future()
            await until_taken(self._transport, self._asked.drain)
            if self._connection is not None:
                self._connection.resume()

    def sent(self) -> web.StreamResponse:
        """For aiohttp's server, after a whole answer."""
        see_off(self._transport, self._loop)
        return KEPT_OPEN if self._keeps_alive else CLOSED

    def break_off(self, error: RotaError) -> web.StreamResponse:
        """The answer has no end: say why where events are read, and close without the end that HTTP asks for."""
        if self._ends_by_close:  # one more would look like its end
            reset(self._transport)
        elif self.is_sse and self._in_chunks and ends_event(self._last, in_chunks=True):
            self._write(chunk(sse.error(error, self._form, is_end=False)))
            see_off(self._transport, self._loop)
        else:
            self._transport.abort()
        return CLOSED

    # --- small things ---------------------------------------------------------------------------------------------

    def _body_otherwise(self, data: bytes) -> None:
        try:
            plain = data if self._unchunked is None else self._unchunked.feed(data)
        except httptools.HttpParserError as error:
            self.lost(Lost(f"its chunks are wrong: {error}"))
            return
        if self._mode is not _KEPT:
            if self.tap is not None:
                self._look(plain)
            self._write(self._counted(plain if self._strip is None else self._strip.feed(plain)))
            if self._protocol.writing_paused:
                self._hold()
        elif len(self._kept) < MOST_OF_AN_ERROR_BYTES:
            self._kept += plain

    def _look(self, data: bytes) -> None:
        """Who looks at the answer sees it before the client does."""
        if self.tap is not None and not self.tap(data):
            self.tap = None
        if self.on_last is not None and self._connection is not None and self._connection.is_complete:
            self._tell_last()

    def _tell_last(self) -> None:
        if (on_last := self.on_last) is not None:
            self.on_last = None
            on_last()

    def _counted(self, data: bytes) -> bytes:
        """What the client gets of the body."""
        self.bytes_out += len(data)
        if self.is_sse and data:
            self.events += data.count(b"\n\n")
            self._last = data
        return data

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _closing(self) -> bytes:
        """The line that tells the client that its connection is not kept, where that is so."""
        return b"" if self._keeps_alive else b"\r\nConnection: close"

    def _hold(self) -> None:
        """The client's transport is full: read no more from the engine until it has room."""
        if self._connection is not None and not self.news.done():
            self._connection.pause()
            self.news.set_result(None)
