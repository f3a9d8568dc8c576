"""Reads the few fields of a JSON body that routing needs, and changes no other byte of it. Pure.

The whole body is checked to be JSON, but only the fields that are asked for are decoded. What goes to the engine are
slices of what the client sent, with the served name and what else must differ between them: a large body is not copied.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from proxy.core.errors import InvalidRequest
from proxy.core.members import END, OWN_FIELDS, START, anew, applied, edited, members

Told = tuple[str | None, str | None, object]
"""What a request says to the proxy: `model`, `agent_type` and `keep_alive`; None where one is absent, null or empty."""

NO_DEFAULTS: Mapping[str, Any] = MappingProxyType({})


_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_NEXT = re.compile(rb"[ \t\r\n]*,")
_SPACES, _COMMA = frozenset(b" \t\r\n"), ord(",")
_MODEL = b'"model"'
_OWN = {name: b'"%b"' % name.encode() for name in OWN_FIELDS}


class _Fields(msgspec.Struct):
    """What is looked at; all else is skipped."""

    model: Raw | UnsetType = UNSET
    agent_type: Raw | UnsetType = UNSET
    keep_alive: Raw | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    background: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET


_FIELDS = msgspec.json.Decoder(_Fields)
_ALL = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str | None)
_encode = msgspec.json.encode
TRUE = frozenset(("1", "t", "true", "y", "yes", "on"))
"""The words that vLLM takes for true, in any case (pydantic, conversion table)."""


class JsonBody:
    """A request's body: a JSON object."""

    def __init__(self, body: bytes) -> None:
        """Raises: InvalidRequest for what is no JSON or no object."""
        try:
            self._fields = _FIELDS.decode(body)
            if not body.isascii():
                body.decode()  # of what is skipped the decoder does not look at the encoding
        except msgspec.ValidationError as error:
            raise InvalidRequest("the body must be a JSON object: {...}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from error
        except RecursionError as error:
            raise InvalidRequest("the body is nested too deeply") from error
        self._body = body

    def __repr__(self) -> str:
        return f"<JsonBody of {len(self._body)} bytes>"

    @property
    def is_stream(self) -> bool:
        """Whether it asks for events."""
        return _is_true(self._fields.stream)

    @property
    def is_background(self) -> bool:
        """Whether it asks for a response that is made in the background."""
        return _is_true(self._fields.background)

    @property
    def previous_response(self) -> str | None:
        """The id of the response that it goes on from. Raises: InvalidRequest where that is no string."""
        raw = self._fields.previous_response_id
        return None if raw is UNSET else _text("previous_response_id", raw)

    @property
    def whole(self) -> bytes:
        """As it came."""
        return self._body

    @property
    def held_bytes(self) -> int:
        """What it takes in memory."""
        return len(self._body)

    def told(self) -> Told:
        """What it says to the proxy. Raises: InvalidRequest if a name is no string, or what is said cannot be read."""
        fields = self._fields
        return (
            None if fields.model is UNSET else _text("model", fields.model),
            None if fields.agent_type is UNSET else _text("agent_type", fields.agent_type),
            None if fields.keep_alive is UNSET else _anything("keep_alive", fields.keep_alive),
        )

    def for_engine(self, served_name: str, defaults: Mapping[str, Any] = NO_DEFAULTS) -> list[bytes | memoryview]:
        """The body as the engine gets it, in pieces: `model` is its served name, and what is said to Rota is gone.

        `defaults` are fields that are put in where the client left them out.
        """
        fields, name = self._fields, _encode(served_name)
        has_own = fields.agent_type is not UNSET or fields.keep_alive is not UNSET
        # Where a name stands twice, engines take the last one, as the decoder does; but it is said once in any case.
        if not has_own and not defaults and fields.model is not UNSET and bytes(fields.model) == name:
            return [self._body]
        if not defaults and (edits := self._edits(name)) is not None:
            return applied(self._body, edits)
        values = _ALL.decode(self._body)
        set_now = {"model": name}
        missing = {each: value for each, value in defaults.items() if each not in values and each not in set_now}
        if (found := members(self._body, values)) is None:
            return [anew(values, set_now, missing)]
        return edited(self._body, found, set_now, missing)

    def _edits(self, name: bytes) -> list[tuple[int, int, bytes]] | None:
        """What to put in place of which bytes, where each name stands once in the whole body: then it is the field's.

        None where a name stands more than once, may be spelled with escapes, or where nothing else would be left: then
        all is looked at.
        """
        body, fields, edits = self._body, self._fields, []
        if b"\\u" in body or (start := START.match(body)) is None:
            return None
        for key, raw in ((_MODEL, fields.model), *((_OWN[each], getattr(fields, each)) for each in OWN_FIELDS)):
            if raw is UNSET:
                continue
            at = body.find(key)
            if at < 0 or body.find(key, at + 1) >= 0 or (colon := _COLON.match(body, at + len(key))) is None:
                return None
            ends = colon.end() + len(memoryview(raw))
            if key is _MODEL:
                edits.append((colon.end(), ends, name))
                continue
            before = at - 1
            while body[before] in _SPACES:
                before -= 1
            if body[before] == _COMMA:
                edits.append((before, ends, b""))
            elif (comma := _NEXT.match(body, ends)) is not None:
                edits.append((at, comma.end(), b""))
            else:
                return None
        if fields.model is UNSET:
            if END.match(body, start.end()) is not None:
                return None
            edits.append((start.end(), start.end(), b'"model":%b,' % name))
        edits.sort()
        if any(one[1] > other[0] for one, other in pairwise(edits)):
            return None
        return edits


def _is_true(raw: Raw | UnsetType) -> bool:
    """Whether vLLM takes it for true: its own reader, pydantic, takes some numbers and words for that, too."""
    if raw is UNSET:
        return False
    spelled = bytes(raw)
    if spelled in (b"true", b"false"):
        return spelled == b"true"
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return value.lower() in TRUE if isinstance(value, str) else isinstance(value, int | float) and value == 1


def _text(name: str, raw: Raw) -> str | None:
    try:
        return _TEXT.decode(raw) or None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"'{name}' must be a string", param=name) from error


def _anything(name: str, raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"'{name}' cannot be read: {error}", param=name) from error
