"""Whether an audit is whole: finds every line that was changed, removed, inserted, swapped or cut off. Pure.

Rule: what is said is where the first thing is wrong and what; nothing behind it can be trusted, and is not looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

import msgspec

from proxy.core.chain import FIRST, Head, Use, digest, is_signed, sign


class Kind(StrEnum):
    """What a line tells."""

    OPEN = "open"
    """A segment begins; `torn` are the bytes of a line that was half written when the power went."""
    CLOSE = "close"
    """A segment ends; `mac` signs all before."""
    BEGIN = "begin"
    """A request is about to be forwarded."""
    END = "end"
    """What became of it."""
    ACT = "act"
    """Something was done by a person, or to the proxy."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where an audit is not whole, and what is wrong there. `line` counts from 1; 0 is the file as a whole."""

    segment: str
    line: int
    what: str

    def __str__(self) -> str:
        where = f"{self.segment}, line {self.line}" if self.line else self.segment
        return f"{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Whole:
    """An audit without a fault: how many lines, how many of them were written after the newest signed head.

    `torn` bytes of a line stand at its end, that was being written when the proxy was killed; the next one notes them.
    """

    lines: int
    unsigned: int
    torn: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: its name and its bytes."""

    name: str
    content: bytes


class _Line(msgspec.Struct):
    n: int
    prev: str
    kind: Kind
    segment: int = 0
    torn: int = 0
    mac: str = ""


class _Wrong(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def check(segments: Iterable[Segment], head: Head | None, key: bytes, before: Head | None = None) -> Whole | Fault:
    """Look at all segments, the oldest first. `before` is the signed end of those that retention has deleted."""
    if head is None:
        return Fault("head", 0, "it is not there")
    if not is_signed(key, head, Use.HEAD):
        return Fault("head", 0, "it was not signed with the key of this audit")
    if before is not None and not is_signed(key, before, Use.DELETED):
        return Fault("deleted", 0, "it was not signed with the key of this audit")
    walk, name = _Walk(key, head, before), "head"
    segments = list(segments)
    if segments and b"\n" not in segments[-1].content:  # killed when it began it
        segments.pop()
    for segment in segments:
        try:
            walk.take(segment)
        except _Wrong as wrong:
            return Fault(segment.name, wrong.line, wrong.what)
        name = segment.name
    if walk.torn and not walk.is_open:
        return Fault(name, 0, f"{walk.torn} bytes stand behind its end")
    if head.n > walk.n:
        return Fault(name, 0, f"cut off at the end: line {head.n} was signed, and the last one is line {walk.n}")
    return Whole(walk.lines, walk.n - head.n, walk.torn)


class _Walk:
    """Goes through the lines; raises _Wrong."""

    def __init__(self, key: bytes, head: Head | None, before: Head | None) -> None:
        self._key = key
        self._head = head
        self.n = before.n if before else 0
        self._last = before.hash if before else FIRST
        self._deleted_n = self.n
        self._segment: int | None = None
        self.is_open = False
        self.torn = 0
        self.lines = 0

    def take(self, segment: Segment) -> None:
        """One segment."""
        *whole, rest = segment.content.split(b"\n")
        if self.n == self._deleted_n and whole and _n_of(whole[-1]) <= self.n:
            return  # it is about to be deleted: its end has been signed already
        for number, line in enumerate(whole, 1):
            self._take_line(line, number)
        if not whole and not rest:
            raise _Wrong(0, "it is empty")
        self.torn = len(rest)

    def _take_line(self, line: bytes, number: int) -> None:
        try:
            told = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _Wrong(number, f"this is no line of an audit: {error}") from error
        if told.n != self.n + 1:
            raise _Wrong(number, f"it is numbered {told.n}, and {self.n + 1} should be here")
        if told.prev != self._last:
            raise _Wrong(number, "the line before it is another than when it was written")
        self._follow(told, number)
        self.n, self._last = told.n, digest(line)
        self.lines += 1
        if self._head is not None and self._head.n == self.n and self._head.hash != self._last:
            raise _Wrong(number, "it is another than the one that was signed")

    def _follow(self, told: _Line, number: int) -> None:
        """Whether a line of its kind may stand here."""
        if (told.kind is Kind.OPEN) is not (number == 1):
            raise _Wrong(number, "a segment begins with the line that opens it, and with no other")
        if told.kind is Kind.OPEN:
            if self._segment is not None and told.segment != self._segment + 1:
                raise _Wrong(number, f"segment {self._segment + 1} is missing: this is {told.segment}")
            if self.torn != told.torn and self._segment is not None:  # what is deleted may have been torn
                raise _Wrong(number, f"{self.torn} bytes stand behind the last line before, and {told.torn} should")
            self._segment, self.is_open = told.segment, True
            return
        if not self.is_open:
            raise _Wrong(number, "the segment was closed before this line")
        if told.kind is Kind.CLOSE:
            if told.mac != sign(self._key, self.n, self._last, Use.CLOSE).mac:
                raise _Wrong(number, "the end of this segment was not signed with the key of this audit")
            self.is_open = False


def _n_of(line: bytes) -> float:
    """The number of a line; of what is none more than any."""
    try:
        return msgspec.json.decode(line, type=_Line).n
    except (msgspec.DecodeError, UnicodeDecodeError):
        return inf


def lines_of(segments: Iterable[Segment]) -> Iterator[dict[str, Any]]:
    """All whole lines, decoded; what is no line is left out."""
    for segment in segments:
        for line in segment.content.split(b"\n")[:-1]:
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
