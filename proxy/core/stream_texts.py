"""The texts of an answer that comes as server-sent events, for the audit to hash: the pieces of each, joined. Pure.

What has come is read many events at a time, so that no more of a stream is kept than its text: to read one event by
itself costs as much as three read together. An event comes in one chunk, as vLLM sends it.
"""

import re
from typing import Any

import msgspec

from proxy.core.texts import Message, of_message, text_of

READ_BYTES = 2**14
"""So much is kept before it is read."""
LONGEST_CHARACTERS = 2**24
"""Of a longer text there is no hash: it would have to be kept until its end."""

_DELTAS = ("response.output_text.delta", "response.function_call_arguments.delta", "response.refusal.delta")
"""The events of the Responses API in which something is said."""
_DATA = re.compile(rb"^data: (\{[^\n]*)\n\n", re.MULTILINE)


class _Choice(msgspec.Struct):
    index: Any = None
    delta: Message | None = None
    text: Any = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    type: str = ""
    delta: Any = None
    index: Any = None
    output_index: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_EVENTS = msgspec.json.Decoder(list[_Event])


class StreamTexts:
    """Of one stream, in chunks or not."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._said: dict[object, list[str]] = {}
        self._left = LONGEST_CHARACTERS

    def __repr__(self) -> str:
        return f"<StreamTexts of {len(self._said)}>"

    def feed(self, data: bytes) -> None:
        """Some more of it."""
        self._kept.append(data)
        self._size += len(data)
        if self._size > READ_BYTES and (b"\n\n" in data or self._size > LONGEST_CHARACTERS):
            self._read()

    def texts(self) -> list[str]:
        """One for each choice or output, by their order; none where they are too long."""
        self._read()
        return ["".join(pieces) for pieces in self._said.values()] if self._left >= 0 else []

    def _read(self) -> None:
        raw = b"".join(self._kept)
        ends = raw.rfind(b"\n\n")
        whole = ends + 2 if ends >= 0 else 0
        if len(raw) - whole > LONGEST_CHARACTERS:
            self._left = -1
        if self._left < 0:
            self._kept, self._size = [], 0
            return
        self._kept, self._size = [raw[whole:]], len(raw) - whole
        for event in _events(_DATA.findall(raw[:whole])):
            for choice in event.choices:
                delta = choice.delta
                self._add(choice.index, text_of(choice.text) if delta is None else of_message(delta))
            if event.type in _DELTAS:
                self._add(event.output_index, text_of(event.delta))
            elif event.type == "content_block_delta" and isinstance(event.delta, dict):  # Anthropic's
                self._add(event.index, text_of(event.delta.get("text") or event.delta.get("partial_json")))

    def _add(self, where: object, piece: str) -> None:
        if (said := self._said.get(where)) is None:
            said = self._said[where] = []
        said.append(piece)
        self._left -= len(piece)
        if self._left < 0:
            self._said.clear()


def _events(found: list[bytes]) -> list[_Event]:
    """What can be read of them."""
    try:
        return _EVENTS.decode(b"[%b]" % b",".join(found))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    events = []
    for one in found:
        try:
            events.append(_EVENT.decode(one))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return events
