"""Reads the body of a request, as far as the choice of a model needs it.

Rule: what is small is read whole; a form is spooled; of what is large, and says in a header who shall answer, no more
than its beginning is read before its engine is ready, and then it goes through piece by piece.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from proxy.core.endpoints import Endpoint, Form, Key
from proxy.core.errors import BodyTooLarge, InvalidRequest, TooSlow, UnknownCoding
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
LEAST_BYTES = 2**16
"""A client that sends less of its body in `STALLED_S` is sent away: an engine may be waiting for it."""


class Body(Protocol):
    """What a request has sent."""

    @property
    def is_stream(self) -> bool | None:
        """Whether it asks for events; None where it is not read."""

    @property
    def is_background(self) -> bool:
        """Whether its response is made in the background."""

    @property
    def previous_response(self) -> str | None:
        """The id of the response that it goes on from. Raises: InvalidRequest where that is no string."""

    @property
    def held_bytes(self) -> int:
        """What it takes in memory for as long as it waits."""

    def told(self) -> Told:
        """What it says to the proxy. Raises: InvalidRequest."""

    @property
    def whole(self) -> bytes | None:
        """All of it; None where it is not held in memory."""

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """The body for the engine that serves `served_name`.

        `defaults` are put in where they are absent.
        """

    def close(self) -> None:
        """It is not needed any more."""


class Nothing:
    """No body, or one that goes through unread."""

    is_stream: bool | None = False
    is_background = False
    held_bytes = 0
    whole = previous_response = None

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

    is_stream = None

    def __init__(self, length: int | None, pieces: AsyncIterator[bytes]) -> None:
        """`length` is in bytes, as it goes on: None where it is not known, as of what has come compressed."""
        self._length = length
        self._pieces = pieces

    def outgoing(self, served_name: str, defaults: Mapping[str, Any]) -> Outgoing:
        """Body."""
        return Outgoing(self._length, rest=self._pieces)


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
        raise UnknownCoding.of(f"Content-Encoding is {coding.decode(errors='replace')[:100]}")
    pieces = pieces_of(asked, limit_bytes)
    sent_length = None if b"content-encoding" in incoming.told else length
    if endpoint.key not in (Key.JSON, Key.FORM):
        return Unread(sent_length, pieces) if request.body_exists else Nothing()
    if b"x-agent-type" in incoming.told and endpoint.form is not Form.RESPONSES:  # those say what they go on from
        if length is not None and length > STREAMED_BYTES:
            return Unread(sent_length, pieces)
        begun = [piece async for piece in _beginning(pieces)]
        is_large = sum(map(len, begun)) > STREAMED_BYTES
        pieces = _joined(begun, pieces)
        if is_large:
            return Unread(sent_length, pieces)
    if endpoint.key is Key.FORM:
        return await read_form(incoming.told.get(b"content-type", b"").decode("latin-1"), pieces)
    check_type(incoming)
    return Json(b"".join([piece async for piece in pieces]))


async def _beginning(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """So many as say whether the body is large."""
    size = 0
    async for piece in pieces:
        yield piece
        size += len(piece)
        if size > STREAMED_BYTES:
            return


async def _joined(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in begun:
        yield piece
    async for piece in rest:
        yield piece


async def pieces_of(asked: Asked, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes, decompressed. Raises: InvalidRequest, BodyTooLarge, TooSlow."""
    request, size = asked.to_read, 0
    now = asyncio.get_running_loop().time
    waited_s, seen = 0.0, 0
    """For the client, and not for who takes the pieces; what had come when that was last looked at."""
    if asked.incoming.told.get(b"expect", b"").lower() == b"100-continue" and not request.content.is_eof():
        asked.go_on()
    try:
        while True:
            began_at = now()
            async with asyncio.timeout(STALLED_S):
                piece = await request.content.readany()
            waited_s += now() - began_at
            if not piece:
                return
            size += len(piece)
            if size > limit_bytes:
                raise too_large(limit_bytes)
            if waited_s > STALLED_S:
                if size - seen < LEAST_BYTES and not request.content.at_eof():
                    what = f"{size - seen} bytes of the body have come in {STALLED_S:.0f} s"
                    raise TooSlow(f"{what}, and it must be {LEAST_BYTES}, or the rest of it")
                waited_s, seen = 0.0, size
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
