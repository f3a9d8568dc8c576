"""Reads the body of a request, as far as the choice of a model needs it.

Rule: what is small is read whole; a form is spooled; what is large, and says in a header who shall answer, is not read
at all before its engine is ready, and then goes through piece by piece.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from proxy.core.endpoints import Endpoint, Key
from proxy.core.errors import BodyTooLarge, InvalidRequest, TooSlow
from proxy.core.headers import Incoming
from proxy.core.wire import JsonBody, Told
from proxy.upstream.outgoing import Outgoing
from proxy.web.asked import Asked
from proxy.web.form import read_form

JSON = b"application/json"
CODINGS = (b"", b"identity", b"gzip", b"deflate")
"""Others need libraries that aiohttp does not bring along."""
STREAMED_BYTES = 2**20
"""Bodies larger than this go through unread where a header says who shall answer."""
STALLED_S = 60.0
"""A client that sends nothing of its body for so long is sent away."""


class Body(Protocol):
    """What a request has sent."""

    @property
    def is_stream(self) -> bool:
        """Whether it asks for events."""

    def told(self) -> Told:
        """What it says to the proxy. Raises: InvalidRequest."""

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """The body for the engine that serves `served_name`; `defaults` are put in where they are absent."""

    def close(self) -> None:
        """It is not needed any more."""


class Nothing:
    """No body, or one that goes through unread."""

    is_stream = False

    def told(self) -> Told:
        """Body."""
        return None, None, None

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """Body."""
        return Outgoing(None)

    def close(self) -> None:
        """Body."""


class Unread(Nothing):
    """A body that goes through as it comes: nobody knows what is in it."""

    def __init__(self, asked: Asked, length: int | None, limit_bytes: int) -> None:
        """`length` is in bytes, as it goes on: None where it is not known, as of what has come compressed."""
        self._asked = asked
        self._length = length
        self._limit_bytes = limit_bytes

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """Body."""
        return Outgoing(self._length, rest=self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        async for piece in pieces_of(self._asked, self._limit_bytes):
            yield piece


class Json(JsonBody):
    """A JSON object."""

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """Body."""
        return Outgoing.of(self.for_engine(served_name, defaults))

    def close(self) -> None:
        """Body."""


def at_hand(asked: Asked, limit_bytes: int) -> Body | None:
    """The body, where it has come with the head; else None. Raises: InvalidRequest, BodyTooLarge."""
    if (body := asked.body) is None:
        return None
    if asked.incoming.told.get(b"content-type") != JSON:
        check_type(asked.incoming)
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)
    return Json(body)


async def read(asked: Asked, endpoint: Endpoint, limit_bytes: int) -> Body:
    """The body of a request of aiohttp's. Raises: InvalidRequest, BodyTooLarge, TooSlow."""
    request, incoming = asked.to_read, asked.incoming
    try:
        length = request.content_length
    except ValueError as error:  # of more digits than Python reads
        raise InvalidRequest("Content-Length: this is no length") from error
    if length is not None and length > limit_bytes:
        raise too_large(limit_bytes)
    coding = incoming.told.get(b"content-encoding", b"").lower()
    if coding not in CODINGS:
        what = f"Content-Encoding is {coding.decode(errors='replace')[:100]}"
        raise InvalidRequest(f"{what}: send the body as it is, or in gzip or deflate")
    unread = Unread(asked, None if b"content-encoding" in incoming.told else length, limit_bytes)
    if endpoint.key not in (Key.JSON, Key.FORM):
        return unread if request.body_exists else Nothing()
    if b"x-agent-type" in incoming.told and (length is None or length > STREAMED_BYTES):
        return unread
    if endpoint.key is Key.FORM:
        return await read_form(incoming.told.get(b"content-type", b"").decode("latin-1"), pieces_of(asked, limit_bytes))
    check_type(incoming)
    return Json(b"".join([piece async for piece in pieces_of(asked, limit_bytes)]))


async def pieces_of(asked: Asked, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes, decompressed. Raises: InvalidRequest, BodyTooLarge, TooSlow."""
    request, size = asked.to_read, 0
    if asked.incoming.told.get(b"expect", b"").lower() == b"100-continue" and not request.content.is_eof():
        asked.go_on()
    try:
        while True:
            async with asyncio.timeout(STALLED_S):
                piece = await request.content.readany()
            if not piece:
                return
            size += len(piece)
            if size > limit_bytes:
                raise too_large(limit_bytes)
            yield piece
    except TimeoutError as error:
        raise TooSlow(f"nothing more of the body has come for {STALLED_S:.0f} s") from error
    except web.RequestPayloadError as error:
        raise InvalidRequest(f"the body cannot be read: {error}") from error


def too_large(limit_bytes: int) -> BodyTooLarge:
    """The error for a body over the limit."""
    limit = f"{limit_bytes / 2**20:g} MiB"
    return BodyTooLarge(f"the body is larger than {limit}, which is the limit (setting max_body_mib)")


def check_type(incoming: Incoming) -> None:
    """Refuse what vLLM would refuse after a swap of engines. Raises: InvalidRequest."""
    given = incoming.told.get(b"content-type", b"")
    if given.partition(b";")[0].strip().lower() == JSON:
        return
    said = "the request has no Content-Type"
    if given:
        said = f"the body is {given.decode(errors='replace')[:100]}, by its Content-Type"
    raise InvalidRequest(f"{said}: send JSON, with Content-Type: {JSON.decode()}")
