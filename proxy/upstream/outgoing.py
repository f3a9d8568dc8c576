"""The body of a request to an engine: what is at hand, and what is still to come."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Outgoing:
    """`length` is in bytes; None where it is not known before the end, or where there is no body at all.

    `pieces` are at hand. `file` comes after them, and can be had again. `rest` can be had once only, so that such a
    request is not sent a second time.
    """

    length: int | None
    pieces: list[bytes | memoryview] = field(default_factory=list)
    file: Callable[[], Iterator[bytes]] | None = None
    rest: AsyncIterator[bytes] | None = None

    @classmethod
    def of(cls, pieces: list[bytes | memoryview]) -> "Outgoing":
        """A body that is at hand."""
        return cls(sum(map(len, pieces)), pieces)

    @property
    def framing(self) -> str:
        """The header line, with its CRLF, that says how long it is."""
        if self.length is not None:
            return f"Content-Length: {self.length}\r\n"
        return "" if self.rest is None else "Transfer-Encoding: chunked\r\n"

    @property
    def is_whole(self) -> bool:
        """Whether `pieces` are all of it."""
        return self.rest is None and self.file is None

    @property
    def is_at_hand(self) -> bool:
        """Whether it can be sent again."""
        return self.rest is None
