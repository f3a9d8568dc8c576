"""The answer of an engine on its way to the client: its bytes go straight to the client's transport.

Rule: a client that reads slowly makes the engine's connection be read slowly, so that it holds no more than one read
beside its transport's own buffer.
"""

import asyncio
from collections.abc import Callable

import httptools

from proxy.core import headers, sse
from proxy.core.chunks import framed
from proxy.core.endpoints import Form
from proxy.core.errors import RotaError
from proxy.core.strip import Strip
from proxy.core.usage import Tokens
from proxy.upstream.answer import CHUNKED, CLOSE, LENGTH, Framing, Lost
from proxy.upstream.connection import Connection
from proxy.upstream.unchunked import Unchunked
from proxy.web.asked import Asked
from proxy.web.outlet import Outlet
from proxy.web.passing import Mode, Tap
from proxy.web.stalled import until_taken

MOST_OF_AN_ERROR_BYTES = 2**20
_SSE = b"text/event-stream"


_AS_IT_COMES, _UNCHUNKED, _STRIPPED, _KEPT = Mode  # as in proxy.upstream.answer


class Relay(Outlet):
    """One answer to one request; a Sink."""

    __slots__ = (
        *("model", "has_answer", "first_byte_at", "is_over", "why_lost", "refusal", "tap", "on_last", "news"),
        *("_connection", "_on_head", "_mode", "_unchunked", "_kept", "_strip"),
    )

    def __init__(self, asked: Asked, form: Form, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asked, form, loop)
        self.model = ""
        """Whose engine it is asked of."""
        self.has_answer = False
        """The engine has begun to answer."""
        self.first_byte_at = 0.0
        self.tap: Tap | None = None
        self.on_last: Callable[[], bool] | None = None
        """Called once, when the end of the answer has come; where it says so, that is held until `let_go`."""
        self.news = loop.create_future()
        """Done when there is something to see to: the end (`is_over`), or a client that reads too slowly."""
        self.is_over = False
        self.why_lost: Lost | None = None
        self.refusal: RotaError | None = None
        self._connection: Connection | None = None
        self._on_head: Callable[[Relay], None] | None = None
        self._mode = _AS_IT_COMES
        self._unchunked: Unchunked | None = None
        self._kept = b""
        self._strip: Strip | None = None

    def comment(self, text: str) -> None:
        """As of any outlet, while the answer is on its way."""
        if not self.is_over and self._mode is not _KEPT:
            super().comment(text)

    def take_out_usage(self) -> None:
        """Its engine is asked to tell the usage, and its client does not get that."""
        self._strip = Strip(in_chunks=self._in_chunks)

    @property
    def usage(self) -> Tokens | None:
        """What the engine has told so."""
        return None if self._strip is None else self._strip.usage

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
            self._write(head)
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
            if self._is_held:
                self._held += before + self._counted(data)
                return
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
        if not self._is_held:
            self._tell()

    def lost(self, why: Lost) -> None:
        """Sink."""
        self.is_over, self.why_lost = True, why
        self._tell()

    def let_go(self, _: object = None) -> None:
        """Write what was held."""
        self._is_held = False
        self._write(self._held)
        self._tell()

    def refuse(self, refusal: RotaError) -> None:
        """Its request must not be forwarded."""
        self.is_over, self.refusal = True, refusal
        self._tell()

    # --- the end --------------------------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Until the answer is whole, or lost: then `why_lost` says so. Raises: RotaError where it was refused."""
        while True:
            await self.news
            if self.is_over:
                if self.refusal is not None:
                    raise self.refusal
                return
            # The client's transport is full: the engine's connection is not read until it has room again.
            self.news = self._loop.create_future()
            await until_taken(self._transport, self._asked.drain)
            if self._connection is not None:
                self._connection.resume()

    # --- small things ---------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if not self.news.done():
            self.news.set_result(None)

    def _body_otherwise(self, data: bytes) -> None:
        try:
            plain = data if self._unchunked is None else self._unchunked.feed(data)
        except httptools.HttpParserError as error:
            self.lost(Lost(f"its chunks are wrong: {error}"))
            return
        if self._mode is not _KEPT:
            if self._strip is not None:
                plain = self._strip.feed(plain)
            if self.tap is not None:
                self._look(plain)
            self._write(self._counted(plain))
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
            self._is_held = on_last()

    def _hold(self) -> None:
        """The client's transport is full: read no more from the engine until it has room."""
        if self._connection is not None and not self.news.done():
            self._connection.pause()
            self.news.set_result(None)
