"""The client's side of one answer: what is written to it, what it is told by the proxy itself, and how it ends.

Rule: after the first byte is out, a failure is never a clean end.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from proxy.core import headers, sse
from proxy.core.chunks import chunk, ends_event, framed
from proxy.core.endpoints import Form
from proxy.core.errors import RotaError
from proxy.upstream.tcp_info import reset
from proxy.web.asked import Asked
from proxy.web.sent import CLOSED, KEPT_OPEN
from proxy.web.stalled import see_off


class Outlet:
    """To the client that has asked `asked`; what the proxy says itself is in the endpoint's `form`."""

    __slots__ = (
        *("own", "status", "is_sse", "bytes_out", "events"),
        *("_asked", "_protocol", "_transport", "_form", "_loop", "_keeps_alive", "_in_chunks", "_ends_by_close"),
        *("_last", "_is_held", "_held"),
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
        self.own = b""
        """The header lines of ours, without the last CRLF."""
        self.status = 0
        """What the client has been told."""
        self.is_sse = False
        self.bytes_out = self.events = 0
        self._last = b""
        self._is_held = False
        """Whether what is written is kept back, in `_held`."""
        self._held = b""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status or 'before its head'} {self.bytes_out} bytes>"

    @property
    def has_begun(self) -> bool:
        """Whether the client has been told a status."""
        return self.status != 0

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
        if self.is_sse and not self._protocol.writing_paused and ends_event(self._last, in_chunks=self._in_chunks):
            self._write(framed(sse.comment(text), in_chunks=self._in_chunks))

    def error_event(self, error: RotaError) -> web.StreamResponse:
        """End the stream that was begun with the error, in the endpoint's own form."""
        self._write(framed(sse.error(error, self._form), in_chunks=self._in_chunks, is_last=True))
        return self.sent()

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

    # --- for who takes an answer from elsewhere ---------------------------------------------------------------------

    def _counted(self, data: bytes) -> bytes:
        """What the client gets of the body."""
        self.bytes_out += len(data)
        if self.is_sse and data:
            self.events += data.count(b"\n\n")
            self._last = data
        return data

    def _write(self, data: bytes) -> None:
        if self._is_held:
            self._held += data
        elif not self._transport.is_closing():
            self._transport.write(data)

    def _closing(self) -> bytes:
        """The line that tells the client that its connection is not kept, where that is so."""
        return b"" if self._keeps_alive else b"\r\nConnection: close"
