"""The chain of the audit's lines: each carries its number and the hash of the one before. Pure.

A line is one JSON object, `{"n": NUMBER, "prev": HASH, ...}`, HASH the SHA-256 of the line before, in hex, without its
end. Whoever changes, removes, inserts or swaps lines breaks the chain there, or has to write all that follow anew; then
what was signed with the key does not fit: the head, which is the newest line, and the end of each segment.
"""

import hashlib
import hmac
from enum import StrEnum
from typing import Any

import msgspec

FIRST = "0" * 64
"""What stands in the place of the hash before the first line."""


def digest(line: bytes) -> str:
    """The hash of a line, without its end."""
    return hashlib.sha256(line).hexdigest()


class Chain:
    """Where the chain stands: the number and the hash of its last line."""

    def __init__(self, n: int = 0, last: str = FIRST) -> None:
        self.n = n
        self.last = last

    def __repr__(self) -> str:
        return f"<Chain at {self.n}>"

    def add(self, record: Any) -> bytes:
        """The next line, with its end, of a record that is encoded as a JSON object which is not empty.

        A string is one that is encoded already, without its first brace.
        """
        fields = record if type(record) is str else msgspec.json.encode(record)[1:].decode()
        self.n += 1
        line = f'{{"n":{self.n},"prev":"{self.last}",{fields}'.encode()
        self.last = digest(line)
        return line + b"\n"


class Head(msgspec.Struct, frozen=True):
    """The newest line that is known to be on the disk, signed."""

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
    """A chain whose last line is `n`, with the hash `last`, signed as `use`."""
    return Head(n, last, _mac(key, n, last, use))


def is_signed(key: bytes, head: Head, use: Use) -> bool:
    """Whether it was signed with `key`, as `use`."""
    return hmac.compare_digest(head.mac.encode(), _mac(key, head.n, head.hash, use).encode())


def _mac(key: bytes, n: int, last: str, use: Use) -> str:
    return hmac.digest(key, b"%b %d %b" % (use.encode(), n, last.encode(errors="replace")), "sha256").hex()
