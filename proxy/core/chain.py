"""The chain of the audit's lines: each carries its number and the mark of the one before. Pure.

A line is one JSON object, `{"n": NUMBER, "prev": MARK, ...}`, MARK that of the line before, without its end: a hash
under the audit's key, which nobody else can make. Whoever changes, removes, inserts or swaps lines breaks the chain
there; nobody without the key can write what follows, nor add a line at the end, since the mark of the last line is told
nowhere. Lines that are missing at the end are known by what is signed: the head, which is the newest line, and the end
of each segment.
"""

import hashlib
import hmac
from enum import StrEnum

import msgspec

FIRST = "0" * 64
"""What stands in the place of the mark before the first line."""
MARK_BYTES = 32
_encode = msgspec.json.encode


class Marks:
    """The marks of lines under one key: BLAKE2b with a key that is made of the audit's (RFC 7693)."""

    def __init__(self, key: bytes) -> None:
        self._begun = hashlib.blake2b(key=hmac.digest(key, b"chain", "sha256"), digest_size=MARK_BYTES)

    def __repr__(self) -> str:
        return "<Marks>"

    def of(self, line: bytes) -> str:
        """That of a line, without its end, in hex."""
        one = self._begun.copy()
        one.update(line)
        return one.hexdigest()


def shown(mark: str) -> str:
    """What may be told of a mark: who had that of the last line could write the next one."""
    return hashlib.sha256(mark.encode(errors="replace")).hexdigest()


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """What each line has; other kinds have more, which is left out where it is as by default."""

    n: int
    prev: str
    kind: str
    at: str


class Chain:
    """Where the chain stands: the number and the mark of its last line."""

    def __init__(self, marks: Marks, n: int = 0, last: str = FIRST) -> None:
        self.n = n
        self.last = last
        self._mark = marks.of

    def __repr__(self) -> str:
        return f"<Chain at {self.n}>"

    def add(self, *lines: Line) -> bytes:
        """The next lines, each with its end; their numbers and marks are put in here."""
        n, last = self.n, self.last
        encoded = []
        for line in lines:
            n += 1
            line.n, line.prev = n, last
            encoded.append(text := _encode(line))
            last = self._mark(text)
        encoded.append(b"")
        self.n, self.last = n, last
        return b"\n".join(encoded)


class Head(msgspec.Struct, frozen=True):
    """The newest line that is known to be on the disk, signed; `hash` is what is shown of its mark."""

    n: int
    hash: str
    mac: str


class Use(StrEnum):
    """What is signed: what was signed as one is worth nothing as another."""

    HEAD = "head"
    CLOSE = "close"
    """The end of a segment."""
    DELETED = "deleted"
    """The end of the segments that retention has deleted."""


def sign(key: bytes, n: int, last: str, use: Use) -> Head:
    """A chain whose last line is `n`, with the mark `last`, signed as `use`."""
    told = shown(last)
    return Head(n, told, _mac(key, n, told, use))


def is_signed(key: bytes, head: Head, use: Use) -> bool:
    """Whether it was signed with `key`, as `use`."""
    return hmac.compare_digest(head.mac.encode(), _mac(key, head.n, head.hash, use).encode())


def _mac(key: bytes, n: int, told: str, use: Use) -> str:
    return hmac.digest(key, b"%b %d %b" % (use.encode(), n, told.encode(errors="replace")), "sha256").hex()
