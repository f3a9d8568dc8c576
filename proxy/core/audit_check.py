"""Whether an audit is whole: finds every line that was changed, removed, inserted, swapped or cut off. Pure.

Rule: what is said is where the first thing is wrong and what; nothing behind it can be trusted, and is not looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from proxy.core.chain import FIRST, Head, Marks, Use, is_signed, shown, sign


class Kind(StrEnum):
    """What a line tells."""

    OPEN = "open"
    """A segment begins; `torn` are the bytes at the end of the one before that are no lines: the power went."""
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

    `torn` bytes at its end are no lines of it: one was being written when the proxy was killed, or the power went
    before they were on the disk. The next segment notes them. Nothing of it was signed.
    """

    lines: int
    unsigned: int
    torn: int
    segments: int = field(default=0, compare=False)
    is_noted_deleted: bool = field(default=False, compare=False)
    """Whether the line that was noted elsewhere is one that retention has deleted: nothing can be compared with it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: its name and its bytes."""

    name: str
    content: bytes


class _Line(msgspec.Struct):
    n: int
    prev: str
    kind: Kind
    at: str = ""
    segment: int = 0
    torn: int = 0
    mac: str = ""


class _Wrong(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def check(
    segments: Iterable[Segment],
    head: Head | None,
    key: bytes,
    before: Head | None = None,
    noted: tuple[int, str] | None = None,
) -> Whole | Fault:
    """Look at all segments, the oldest first, of which two at a time are held.

    `before` is the signed end of those that retention has deleted; `noted` the number and hash of a head that somebody
    has kept elsewhere.
    """
    if head is None:
        return Fault("head", 0, "it is not there")
    if not is_signed(key, head, Use.HEAD):
        return Fault("head", 0, "it was not signed with the key of this audit")
    if before is not None and not is_signed(key, before, Use.DELETED):
        return Fault("deleted", 0, "it was not signed with the key of this audit")
    walk, name = _Walk(key, head, before, noted), "head"
    for segment, following in _pairs(segments):
        if following is None and b"\n" not in segment.content:
            break  # killed when it began it
        try:
            walk.take(segment, following if following is not None and b"\n" in following.content else None)
        except _Wrong as wrong:
            return Fault(segment.name, wrong.line, wrong.what)
        name = segment.name
    if walk.torn and not walk.is_open:
        return Fault(name, 0, f"{walk.torn} bytes stand behind its end")
    if head.n > walk.n:
        return Fault(name, 0, f"cut off at the end: line {head.n} was signed, and the last one is line {walk.n}")
    is_deleted = noted is not None and before is not None and noted[0] < before.n
    if noted is not None and not is_deleted and not walk.has_noted:
        return Fault(name, 0, f"line {noted[0]} is another than the one that was noted, or gone")
    return Whole(walk.lines, walk.n - head.n, walk.torn, walk.segments, is_deleted)


def _pairs(segments: Iterable[Segment]) -> Iterator[tuple[Segment, Segment | None]]:
    """Each with the next one; None behind the last."""
    one: Segment | None = None
    for following in segments:
        if one is not None:
            yield one, following
        one = following
    if one is not None:
        yield one, None


class _Walk:
    """Goes through the lines; raises _Wrong."""

    def __init__(self, key: bytes, head: Head, before: Head | None, noted: tuple[int, str] | None) -> None:
        self._key = key
        self._mark = Marks(key).of
        self._head = head
        self._before = before
        self._noted = noted
        self.n = before.n if before else 0
        self.last = FIRST
        self._segment: int | None = None
        self.is_open = False
        self.has_noted = before is not None and noted == (before.n, before.hash)
        self.torn = self.lines = self.segments = 0

    def take(self, segment: Segment, following: Segment | None) -> None:
        """One segment. What of its end is torn the `following` one says; of the last one it is what is no line."""
        self.torn = 0 if following is None else _torn_before(following)
        end = len(segment.content) - self.torn
        *whole, rest = segment.content[: max(0, end)].split(b"\n")
        if following is not None and (rest or end < 0):
            found = len(rest) + self.torn if end >= 0 else len(segment.content)
            raise _Wrong(0, f"{found} bytes stand behind its last line, and {self.torn} should")
        if self._is_to_be_deleted(whole):
            return
        self.segments += 1
        for number, line in enumerate(whole, 1):
            try:
                self._take_line(line, number)
            except _Wrong:
                if following is not None or not self.is_open or self.n < self._head.n:
                    raise
                self.torn = sum(len(one) + 1 for one in whole[number - 1 :])  # never signed, and never on the disk
                break
        self.torn += len(rest)

    def _is_to_be_deleted(self, lines: list[bytes]) -> bool:
        """Whether this segment's end was signed as deleted, and it is there still: killed between. Raises: _Wrong."""
        before = self._before
        if before is None or self.lines or not lines or shown(self._mark(lines[-1])) != before.hash:
            return False
        last, n = None, before.n - len(lines)
        for number, line in enumerate(lines, 1):
            told = _decoded(line, number)
            n += 1
            if told.n != n or last not in (None, told.prev):
                raise _Wrong(number, "the line before it is another than when it was written")
            last = self._mark(line)
        return True

    def _take_line(self, line: bytes, number: int) -> None:
        told = _decoded(line, number)
        if told.n != self.n + 1:
            raise _Wrong(number, f"it is numbered {told.n}, and {self.n + 1} should be here")
        if self._before is not None and self.n == self._before.n:  # of the lines before only what is shown is kept
            follows = shown(told.prev) == self._before.hash
        else:
            follows = told.prev == self.last
        if not follows:
            raise _Wrong(number, "the line before it is another than when it was written")
        self._follow(told, number)
        mark = self._mark(line)
        if self._head.n == told.n and self._head.hash != shown(mark):
            raise _Wrong(number, "it is another than the one that was signed")
        if self._noted is not None and self._noted == (told.n, shown(mark)):
            self.has_noted = True
        self.n, self.last = told.n, mark
        self.lines += 1

    def _follow(self, told: _Line, number: int) -> None:
        """Whether a line of its kind may stand here."""
        if (told.kind is Kind.OPEN) is not (number == 1):
            raise _Wrong(number, "a segment begins with the line that opens it, and with no other")
        if told.kind is Kind.OPEN:
            if self._segment is not None and told.segment != self._segment + 1:
                raise _Wrong(number, f"segment {self._segment + 1} is missing: this is {told.segment}")
            self._segment, self.is_open = told.segment, True
            return
        if not self.is_open:
            raise _Wrong(number, "the segment was closed before this line")
        if told.kind is Kind.CLOSE:
            if told.mac != sign(self._key, self.n, self.last, Use.CLOSE).mac:
                raise _Wrong(number, "the end of this segment was not signed with the key of this audit")
            self.is_open = False


def end_of(segment: Segment, key: bytes) -> tuple[int, str, int] | None:
    """Where the chain stands after a segment: the number and the mark of its last line, and how many bytes of its end
    are no lines of it. None where it has no line at all.
    """
    mark, n, last, end = Marks(key).of, 0, "", 0
    for line in segment.content.split(b"\n")[:-1]:
        try:
            told = _decoded(line, 1)
        except _Wrong:
            break
        if end and (told.n, told.prev) != (n + 1, last):
            break
        n, last, end = told.n, mark(line), end + len(line) + 1
    return (n, last, len(segment.content) - end) if end else None


def closed_at(segment: Segment, key: bytes, before: Head | None, following: Segment) -> tuple[int, str, str]:
    """The last line's number and mark of a segment, and when the `following` one began, if it is whole and follows
    `before`, the signed end of those that were deleted.

    Raises: ValueError, which says what is wrong.
    """
    walk = _Walk(key, Head(0, "", ""), before, None)
    try:
        walk.take(segment, following)
        opened = _decoded(following.content.partition(b"\n")[0], 1)
        if opened.prev != walk.last:
            raise _Wrong(0, "the segment behind it follows another")
    except _Wrong as wrong:
        raise ValueError(str(Fault(segment.name, wrong.line, wrong.what))) from wrong
    return walk.n, walk.last, opened.at


def _torn_before(segment: Segment) -> int:
    """How many bytes of the segment before this one says are torn."""
    try:
        return max(0, _decoded(segment.content.partition(b"\n")[0], 1).torn)
    except _Wrong:
        return 0


def _decoded(line: bytes, number: int) -> _Line:
    """Raises: _Wrong."""
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Wrong(number, f"this is no line of an audit: {error}") from error
