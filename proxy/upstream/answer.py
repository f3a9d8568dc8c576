"""What a connection tells of an answer, and to whom. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Framing(Enum):
    """How the end of a body is known, and so what the bytes of `Sink.body` are."""

    LENGTH = "length"
    """By Content-Length: the body itself."""
    CHUNKED = "chunked"
    """By chunks (RFC 9112, section 7.1), which are still around the body."""
    CLOSE = "close"
    """By the end of the connection: the body itself."""


LENGTH, CHUNKED, CLOSE = Framing
"""The same; to look a member up in its enum costs 0.1 us in Python 3.11, which is much on the way of every request."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An exchange that has no end.

    `was_never_read`: the engine never had the request, so that it may be sent again. `detail` says what was seen.
    """

    detail: str
    was_never_read: bool = False


class Sink(Protocol):
    """Who takes an answer; called from the event loop, never twice with an end."""

    def head(self, status: int, head: bytes, framing: Framing, first: bytes) -> None:
        """The status line and the headers as they came, without the empty line, and what came of the body with them."""

    def body(self, data: bytes) -> None:
        """Some of the body, framed as was said."""

    def end(self) -> None:
        """The answer is whole."""

    def lost(self, why: Lost) -> None:
        """There is no more, and it is not whole."""
