"""The texts of an answer that comes as server-sent events, for the audit to hash: the pieces of each, joined. Pure.

What has come is read many events at a time, so that no more of a stream is kept than its text: to read one event by
itself costs as much as three read together. An event comes in one chunk, as vLLM sends it.
"""

import re
from typing import Any

import msgspec

from proxy.core.answer_parts import of_part, respelled
from proxy.core.texts import Message, spelled, text_of

READ_BYTES = 2**14
"""So much is kept before it is read."""
LONGEST_CHARACTERS = 2**24
"""Of a longer text there is no hash: it would have to be kept until its end."""

_Where = tuple[int, int, int]
"""Which choice, output or block; which tool that is called there, -1 for its text; which of its texts."""
_NOWHERE = _NO_CALL = -1
_TEXT, _NAME, _ARGUMENTS, _JSON = 0, 1, 2, 3
"""Arguments as they are written, or as JSON that is spelled anew."""
_DELTAS = {
    "response.output_text.delta": (_NO_CALL, _TEXT),
    "response.refusal.delta": (_NO_CALL, _TEXT),
    "response.function_call_arguments.delta": (0, _ARGUMENTS),
    "response.mcp_call_arguments.delta": (0, _ARGUMENTS),
    "response.custom_tool_call_input.delta": (0, _ARGUMENTS),
}
"""The events of the Responses API in which something is said, until its item is told as a whole."""
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
    item: Any = None
    content_block: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_EVENTS = msgspec.json.Decoder(list[_Event])


class StreamTexts:
    """Of one stream, in chunks or not."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._said: dict[_Where, list[str]] = {}
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
        """As `answered` has them of the whole answer; none where they are too long."""
        self._read()
        if self._left < 0:
            return []
        joined = ((where, "".join(self._said[where])) for where in sorted(self._said))
        return [respelled(text) if where[2] == _JSON else text for where, text in joined]

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
                if (delta := choice.delta) is None:
                    self._add(choice.index, _NO_CALL, _TEXT, choice.text)
                else:
                    self._add(choice.index, _NO_CALL, _TEXT, delta.content)
                    if isinstance(delta.tool_calls, list):
                        self._add_calls(choice.index, delta.tool_calls)
            if (what := _DELTAS.get(event.type)) is not None:
                self._add(event.output_index, *what, event.delta)
            elif event.type:
                self._add_event(event)

    def _add_calls(self, where: Any, calls: list[Any]) -> None:
        """The pieces of calls, in a chat."""
        for call in calls:
            if not isinstance(call, dict):
                continue
            n, function = _number(call.get("index"), 0), call.get("function")
            if isinstance(function, dict):
                self._add(where, n, _NAME, function.get("name"))
                self._add(where, n, _ARGUMENTS, function.get("arguments"))
            else:
                self._add(where, n, _ARGUMENTS, spelled(call))

    def _add_event(self, event: _Event) -> None:
        """What begins or ends a part."""
        index, delta, item = event.index, event.delta, event.item
        match event.type:
            case "response.output_item.added" if isinstance(item, dict) and isinstance(item.get("name"), str):
                self._add(event.output_index, 0, _NAME, item["name"])
            case "response.output_item.done" if isinstance(item, dict):
                self._tell(event.output_index, of_part(item))
            case "content_block_start" if isinstance(block := event.content_block, dict):  # Anthropic's, and below
                if block.get("type") == "tool_use":
                    self._add(index, 0, _NAME, block.get("name"))
                    self._add(index, 0, _JSON, "")
                elif block.get("type") == "text":
                    self._add(index, _NO_CALL, _TEXT, block.get("text"))
            case "content_block_delta" if isinstance(delta, dict):
                if "text" in delta:
                    self._add(index, _NO_CALL, _TEXT, delta["text"])
                elif "partial_json" in delta:
                    self._add(index, 0, _JSON, delta["partial_json"])
            case _:
                pass

    def _add(self, where: Any, call: int, part: int, piece: Any) -> None:
        at = (_number(where, _NOWHERE), call, part)
        if (said := self._said.get(at)) is None:
            said = self._said[at] = []
        if type(piece) is not str:
            piece = text_of(piece)
        said.append(piece)
        self._left -= len(piece)
        if self._left < 0:
            self._said.clear()

    def _tell(self, where: Any, texts: list[str]) -> None:
        """What its pieces add up to is told as a whole, and may be another."""
        for at in [at for at in self._said if at[0] == _number(where, _NOWHERE)]:
            self._left += sum(map(len, self._said.pop(at)))
        for n, text in enumerate(texts):
            self._add(where, n, _TEXT, text)


def _number(told: Any, otherwise: int) -> int:
    return told if type(told) is int else otherwise


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
