"""Whatever is done to an audit is found, and an audit to which nothing was done is not accused."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from proxy.core.audit_check import Fault, Kind, Segment, Whole, check
from proxy.core.audit_records import Begin, End, closed, opened
from proxy.core.audit_rows import lines_of
from proxy.core.chain import Chain, Head, Marks, Use, sign

KEY = b"k" * 32
MARKS = Marks(KEY)


class Written:
    """An audit, as it is written; the last segment is closed unless the test says otherwise."""

    def __init__(self, sizes: list[int], *, is_closed: bool = True, key: bytes = KEY) -> None:
        self.chain = Chain(Marks(key))
        self.segments: list[Segment] = []
        for number, size in enumerate(sizes, 1):
            lines = [self.chain.add(opened("", number, 0))]
            for at in range(size):
                begin, end = Begin(0, "", Kind.BEGIN, "", f"r{at}"), End(0, "", Kind.END, "", status=200)
                lines.append(self.chain.add(end if at % 2 else begin))
            if is_closed or number < len(sizes):
                mac = sign(KEY, self.chain.n, self.chain.last, Use.CLOSE).mac
                lines.append(self.chain.add(closed("", number, mac)))
            self.segments.append(Segment(f"audit-{number:06}.jsonl", b"".join(lines)))

    @property
    def head(self) -> Head:
        return sign(KEY, self.chain.n, self.chain.last, Use.HEAD)

    def checked(self, *, head: Head | None = None, key: bytes = KEY, before: Head | None = None) -> Whole | Fault:
        return check(self.segments, head or self.head, key, before)


sizes = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@settings(max_examples=200)
@given(sizes, st.booleans())
def test_an_untouched_audit_is_whole(sizes: list[int], is_closed: bool) -> None:
    written = Written(sizes, is_closed=is_closed)
    assert written.checked() == Whole(written.chain.n, 0, 0)
    assert len(list(lines_of(written.segments))) == written.chain.n


def edited(draw: st.DataObject, segments: list[Segment]) -> list[Segment]:
    """`segments` after one change of some kind."""
    lines = [(number, line) for number, one in enumerate(segments) for line in one.content.splitlines(keepends=True)]
    at = draw.draw(st.integers(0, len(lines) - 1))
    number, line = lines[at]
    match draw.draw(st.sampled_from(["change", "remove", "insert", "swap", "cut", "bytes", "segment"])):
        case "change":
            spot = draw.draw(st.integers(0, len(line) - 1))
            byte = draw.draw(st.integers(0, 255).filter(lambda one: one != line[spot]))
            lines[at] = number, line[:spot] + bytes([byte]) + line[spot + 1 :]
        case "remove":
            del lines[at]
        case "insert":
            lines.insert(at, (number, draw.draw(st.sampled_from([one for _, one in lines] + [b"{}\n", b"\n", b"x"]))))
        case "swap":
            other = draw.draw(st.integers(0, len(lines) - 1).filter(lambda one: one != at or len(lines) == 1))
            lines[at], lines[other] = (number, lines[other][1]), (lines[other][0], line)
        case "cut":
            del lines[at:]
        case "bytes":
            spot = draw.draw(st.integers(0, len(line) - 1))
            lines[at] = number, line[:spot] + draw.draw(st.binary(min_size=1, max_size=5)) + line[spot:]
        case "segment":
            lines = [one for one in lines if one[0] != number]
    content = {number: b"" for number, _ in lines}
    for number, line in lines:
        content[number] += line
    return [replace(segments[number], content=whole) for number, whole in sorted(content.items())]


@settings(max_examples=1000)
@given(sizes, st.data())
def test_every_edit_of_a_closed_audit_is_found(sizes: list[int], data: st.DataObject) -> None:
    written = Written(sizes)
    changed = edited(data, written.segments)
    if changed == written.segments:
        return
    assert isinstance(check(changed, written.head, KEY), Fault)


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (
            lambda lines: [lines[0], lines[1].replace(b"r0", b"r9"), *lines[2:]],
            "line 3: the line before it is another",
        ),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3: it is numbered 4, and 3 should be here"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2: it is numbered 3"),
        (lambda lines: [*lines[:3], b"{}\n", *lines[3:]], "line 4: this is no line of an audit"),
        (lambda lines: lines[:-2], "cut off at the end: line 6 was signed, and the last one is line 4"),
        (lambda lines: lines[1:], "line 1: it is numbered 2"),
        (lambda lines: [*lines, b"more"], "4 bytes stand behind its end"),
    ],
)
def test_where_and_what_is_said(edit: Any, where: str) -> None:
    written = Written([4])
    lines = written.segments[0].content.splitlines(keepends=True)
    changed = [replace(written.segments[0], content=b"".join(edit(lines)))]
    assert where in str(check(changed, written.head, KEY))


def test_who_writes_all_lines_anew_has_not_the_key() -> None:
    forged = Written([4])
    genuine = Written([5])
    assert str(forged.checked(head=genuine.head)).startswith("audit-000001.jsonl: cut off at the end")
    assert "not signed with the key" in str(forged.checked(head=replace_mac(forged.head)))
    assert "not signed with the key" in str(forged.checked(key=b"other" * 8))
    other = sign(KEY, forged.chain.n, "0" * 64, Use.HEAD)
    assert "another than the one that was signed" in str(forged.checked(head=other))


def replace_mac(head: Head) -> Head:
    return Head(head.n, head.hash, "0" * 64)


def test_lines_behind_the_newest_head_are_counted() -> None:
    written = Written([2], is_closed=False)
    head = written.head
    later = Chain(MARKS, written.chain.n, written.chain.last).add(End(0, "", Kind.END, ""))
    segments = [replace(written.segments[0], content=written.segments[0].content + later + b'{"n":5,"prev":"0')]
    assert check(segments, head, KEY) == Whole(4, 1, 16)


def test_bytes_of_a_torn_line_are_noted_by_the_next_segment() -> None:
    written = Written([1], is_closed=False)
    torn = replace(written.segments[0], content=written.segments[0].content + b'{"n":3')
    for noted, is_whole in ((6, True), (5, False)):
        chain = Chain(MARKS, written.chain.n, written.chain.last)
        line = chain.add(opened("", 2, noted))
        following = Segment("audit-000002.jsonl", line)
        told = check([torn, following], sign(KEY, chain.n, chain.last, Use.HEAD), KEY)
        assert isinstance(told, Whole) is is_whole


def test_a_head_that_was_noted_and_deleted_is_no_fault_and_one_that_is_another_is() -> None:
    written = Written([2])
    before = sign(KEY, written.chain.n, written.chain.last, Use.DELETED)
    segment = Segment("audit-000002.jsonl", written.chain.add(opened("", 2, 0), End(0, "", Kind.END, "")))
    head = written.head

    def told(noted: tuple[int, str]) -> bool | None:
        done = check([segment], head, KEY, before, noted)
        return done.is_noted_deleted if isinstance(done, Whole) else None

    assert told((before.n - 1, "0" * 64)) is True
    assert told((before.n, before.hash)) is False, "its hash is kept"
    assert told((before.n, "0" * 64)) is None
    assert told((head.n, head.hash)) is False
    assert told((head.n, "0" * 64)) is None


def test_old_segments_may_be_deleted_where_their_end_was_signed() -> None:
    written = Written([3, 3, 3])
    first = Written([3])
    before = sign(KEY, first.chain.n, first.chain.last, Use.DELETED)
    assert check(written.segments[1:], written.head, KEY, before) == Whole(10, 0, 0)
    assert isinstance(check(written.segments[2:], written.head, KEY, before), Fault)
    assert isinstance(check(written.segments[1:], written.head, KEY), Fault)
    assert isinstance(check(written.segments[1:], written.head, KEY, replace_mac(before)), Fault)


def test_an_audit_without_its_head_is_no_whole_one() -> None:
    assert check(Written([1]).segments, None, KEY) == Fault("head", 0, "it is not there")
    assert check([], None, KEY) == Fault("head", 0, "it is not there")
