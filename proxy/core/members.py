"""The members of a JSON object, found and exchanged without decoding its values. Pure.

What goes on are slices of what came: a large body is not copied.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

OWN_FIELDS = frozenset({"agent_type", "keep_alive"})
"""Said to Rota, not to the engine."""

_MEMBER = re.compile(rb'[ \t\r\n]*([,{])[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
END = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*\Z")
START = re.compile(rb"[ \t\r\n]*\{")
_NAME = msgspec.json.Decoder(str)
_encode = msgspec.json.encode

Member = tuple[str, int, int, int]


def applied(body: bytes, edits: list[tuple[int, int, bytes]]) -> list[bytes | memoryview]:
    """`body` with other bytes in the places that are named, which are sorted and apart."""
    view, at = memoryview(body), 0
    pieces: list[bytes | memoryview] = []
    for begins, ends, text in edits:
        pieces += (view[at:begins], text)
        at = ends
    pieces.append(view[at:])
    return pieces


def members(body: bytes, values: Mapping[str, Raw]) -> list[Member] | None:
    """Each member of the object: its name, where the comma or brace before it is, where its value begins and ends.

    None where a name stands twice with two values: then what is known of the lengths is not enough.
    """
    members = []
    at = 0
    while (match := _MEMBER.match(body, at)) is not None:
        name = _NAME.decode(match[2])
        value = values[name]
        begins = match.end()
        if not body.startswith(memoryview(value), begins):
            return None
        at = begins + len(memoryview(value))
        members.append((name, match.start(1), begins, at))
    return members if END.match(body, at) or not members else None


def edited(
    body: bytes, members: list[Member], set_now: Mapping[str, bytes], missing: Mapping[str, Any]
) -> list[bytes | memoryview]:
    """`body` without what is said to Rota, with `set_now` set and `missing` put in, in pieces."""
    start = START.match(body)
    first = 1 if start is None else start.end()
    added = b"".join(b"%b:%b," % (_encode(each), _encode(value)) for each, value in missing.items())
    there = {each for each, *_ in members}
    added += b"".join(b"%b:%b," % (_encode(each), text) for each, text in set_now.items() if each not in there)
    return list(_pieces(memoryview(body), first, members, set_now, added))


def _pieces(
    view: memoryview, first: int, members: list[Member], set_now: Mapping[str, bytes], added: bytes
) -> Iterator[bytes | memoryview]:
    """`first` is the place behind the opening brace."""
    kept = [one for one in members if one[0] not in OWN_FIELDS]
    yield view[:first]
    yield added if kept else added.rstrip(b",")
    at = first
    is_first = True
    for each, before, begins, ends in members:
        if each in OWN_FIELDS:
            yield view[at:before] if not is_first else b""
            at = ends
            continue
        if is_first:
            at = max(at, before + 1)  # without the comma behind what is gone
            is_first = False
        if each in set_now:
            yield view[at:begins]
            yield set_now[each]
            at = ends
    yield view[at:]


def anew(values: Mapping[str, Raw], set_now: Mapping[str, bytes], missing: Mapping[str, Any]) -> bytes:
    """The object written anew, each name once."""
    fields = {each: value for each, value in values.items() if each not in OWN_FIELDS}
    fields |= {each: Raw(_encode(value)) for each, value in missing.items()}
    fields |= {each: Raw(text) for each, text in set_now.items()}
    return _encode(fields)
