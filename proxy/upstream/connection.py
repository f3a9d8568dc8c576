"""One connection to an engine: a request goes out, and its answer is given on as it comes, unread.

httptools finds the end of each answer; the bytes of the body are given on as they came, chunks and all, so that a
token costs one read and one write. Rule: nothing is given on that the parser has not accepted.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import httptools

from proxy.upstream.answer import CHUNKED, CLOSE, LENGTH, Lost, Sink
from proxy.upstream.tcp_info import acked_bytes

LONGEST_HEAD_BYTES = 64 * 2**10
SMALL_BYTES = 64 * 2**10
"""Requests up to this are joined and written with one call; larger ones are never copied."""

LEAST_FINAL_STATUS = 200


class Connection(asyncio.Protocol):
    """Idle, or in one exchange. `give_back` is called when an exchange has ended well and another may follow."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.is_reused = False
        self.transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head = b""
        self._in_body = False
        self._has_head = False
        self._is_complete = False
        self._messages = 0
        self._status = 0
        self._keeps_alive = False
        self._framing = LENGTH
        self._has_begun = False
        self._is_paused = False
        self._owes = False
        self._sent_bytes = 0
        self._may_write: asyncio.Future[None] | None = None
        self._was_never_read = False

    def __repr__(self) -> str:
        return f"<Connection {'lost' if self.transport is None else 'idle' if self._sink is None else 'busy'}>"

    # --- what the pool and the forwarder ask for -----------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether another exchange may be begun."""
        return self.transport is not None and self._sink is None and not self.transport.is_closing()

    def begin(self, sink: Sink, pieces: list[bytes | memoryview], size: int, *, is_whole: bool = True) -> None:
        """Send a request that is `size` bytes long, or the first bytes of one; `sink` gets the answer.

        Where that `is_whole` not, what follows goes out with `send`, and `sent_all` says that it was all.
        """
        if (transport := self.transport) is None or transport.is_closing():  # the engine closed it before this
            sink.lost(Lost("it closed the connection", was_never_read=True))
            return
        self._sink = sink
        self._head, self._in_body, self._has_head, self._is_complete = b"", False, False, False
        self._has_begun, self._messages, self._owes = False, 0, not is_whole
        self._sent_bytes += size
        if size <= SMALL_BYTES:
            transport.write(b"".join(pieces))
        else:
            transport.writelines(pieces)

    async def send(self, piece: bytes | memoryview) -> bool:
        """Send more of the request, no faster than the engine reads; False where it has answered or is gone."""
        if self._sink is None or self.transport is None or self.transport.is_closing():
            return False
        self._sent_bytes += len(piece)
        self.transport.write(piece)
        if self._may_write is not None:
            await self._may_write
        return self._sink is not None

    def sent_all(self) -> None:
        """The request is whole."""
        self._owes = False

    def pause(self) -> None:
        """Read no more for now: who takes the answer is slower than the engine."""
        if self.transport is not None and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """End it now; a request that is under way is not wanted any more, and its sink hears nothing."""
        self._sink = None
        if self.transport is not None:
            self.transport.abort()

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole with what is being given on."""
        return self._is_complete

    @property
    def may_serve_again(self) -> bool:
        """Whether another request may follow: the answer was whole, and so was the request, and the engine stays.

        An engine may answer before it has all of a request; what comes next on the connection is then the rest of it.
        """
        if self._owes or not self._is_complete or not self._keeps_alive:
            return False
        return self.transport is not None and not self.transport.is_closing()

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol. Once a head is out, this is one event of a stream."""
        if (sink := self._sink) is None:
            self.abort()  # an engine that speaks unasked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"its answer is no HTTP: {error}")
            return
        if self._in_body:
            if self._messages > 1:
                self._fail("it answers more than it was asked")
                return
            sink.body(data)
        elif not self._head_received(sink, data):
            return
        if self._is_complete:
            self._sink = None
            if self._is_paused:  # by the last piece: the next answer must be read, and the engine's end be seen
                self.resume()
            sink.end()

    def eof_received(self) -> None:
        """asyncio.Protocol. The engine closes; whether it had the whole request is known now and not later."""
        if self._sink is not None and not self._has_begun and self.transport is not None:
            acked = acked_bytes(self.transport)
            self._was_never_read = self.is_reused and acked is not None and acked < self._sent_bytes

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol."""
        self.transport = None
        self.resume_writing()
        if (sink := self._sink) is None:
            return
        self._sink = None
        if self._in_body and exc is None and self._framing is CLOSE:
            self._keeps_alive = False
            sink.end()
            return
        # A reset, and nothing had come: what was sent was still unread when the engine's end was closed.
        was_unread = self.is_reused and not self._has_begun and isinstance(exc, ConnectionResetError | BrokenPipeError)
        sink.lost(Lost("it closed the connection" if exc is None else str(exc), self._was_never_read or was_unread))

    def pause_writing(self) -> None:
        """asyncio.Protocol."""
        self._may_write = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """asyncio.Protocol."""
        if self._may_write is not None:
            if not self._may_write.done():
                self._may_write.set_result(None)
            self._may_write = None

    # --- httptools ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """httptools."""
        self._messages += 1

    def on_headers_complete(self) -> None:
        """httptools. The parser knows these two only until the message is complete."""
        self._has_head = True
        self._status, self._keeps_alive = self._parser.get_status_code(), self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """httptools."""
        self._is_complete = True

    # --- small things ---------------------------------------------------------------------------------------------

    def _head_received(self, sink: Sink, data: bytes) -> bool:
        """The head, or some of it; False where the exchange has failed or its head is not whole."""
        self._has_begun = True
        received = self._head + data if self._head else data
        if not self._has_head:
            self._head = received
            if len(received) > LONGEST_HEAD_BYTES:
                self._fail(f"its head is longer than {LONGEST_HEAD_BYTES} bytes")
            return False
        self._head = b""
        status, end = self._status, received.find(b"\r\n\r\n")
        if end < 0 or self._messages > 1 or status < LEAST_FINAL_STATUS:  # we never ask for an interim answer
            self._fail("its head is not understood, or it answers more than it was asked")
            return False
        head = received[:end]
        names = head.lower()
        if b"\r\ntransfer-encoding:" in names:
            self._framing = CHUNKED
        elif b"\r\ncontent-length:" in names or status in (204, 304):
            self._framing = LENGTH
        else:
            self._framing = CLOSE
        self._in_body = True
        sink.head(status, head, self._framing, received[end + 4 :])
        return True

    def _fail(self, what: str) -> None:
        """What comes is not what was asked for: nothing of it goes on."""
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.lost(Lost(what))


def request_bytes(pieces: Iterable[bytes | memoryview]) -> int:
    """How long they are together."""
    return sum(len(piece) for piece in pieces)
