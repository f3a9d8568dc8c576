"""The texts of a request and of an answer, for the audit to hash: what a person said, and what was said to him. Pure.

A text is what stands in the field, without its JSON spelling, so that the same words have the same hash however a
client writes them. Of what is no text (an image, the arguments of a tool) the bytes of its JSON stand for it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

SAID_IN = (
    *("system", "instructions", "messages", "prompt", "input", "query", "documents"),
    *("text_1", "text_2", "data_1", "data_2", "items", "texts", "inputs", "queries"),
)
"""Every field of vLLM's endpoints in which somebody says something."""
SAMPLING = (
    *(
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n",
        "seed",
    ),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "stream"),
)
"""What decides how an answer is drawn."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_SAID_IN, _SAMPLING = frozenset(SAID_IN), frozenset(SAMPLING)
_ANY = msgspec.json.Decoder()
_TEXT_KEYS = ("content", "text", "output", "documents", "input")
_encode = msgspec.json.encode


class Said:
    """What a request says: its texts, one for each message, prompt or document, and how its answer is to be drawn."""

    def __init__(self, body: bytes) -> None:
        """Of what is no JSON object nothing is said."""
        self.texts: list[str] = []
        self.sampling: dict[str, Any] = {}
        try:
            fields = _FIELDS.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        said = _SAID_IN & fields.keys()
        for name in said if len(said) == 1 else (name for name in SAID_IN if name in said):
            self.texts += _each(_ANY.decode(fields[name]))
        for name in _SAMPLING & fields.keys():
            if isinstance(value := _ANY.decode(fields[name]), int | float):
                self.sampling[name] = value

    def __repr__(self) -> str:
        return f"<Said, {len(self.texts)} texts>"


def of_answer(body: bytes) -> list[str]:
    """One text for each choice or output of a whole answer; none where it holds no text, as an embedding."""
    try:
        told = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    if not isinstance(told, dict):
        return []
    said = [_of_choice(one) for one in _dicts(told.get("choices"))]
    said += [text_of(one) for one in _dicts(told.get("output"))]  # of the Responses API
    if isinstance(told.get("content"), list):  # Anthropic's
        said.append(text_of(told["content"]))
    return said


def of_stream(raw: bytes) -> list[str]:
    """The same of server-sent events, in chunks or not: the pieces of each choice or output, joined."""
    said: dict[object, str] = {}
    for event in raw.split(b"\n\n"):
        at = event.find(b"data: {")
        if at < 0:
            continue
        try:
            told = _ANY.decode(event[at + 6 :])
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        for where, piece in _pieces(told):
            said[where] = said.get(where, "") + piece
    return list(said.values())


def text_of(value: Any) -> str:
    """What is said in one message, part or field."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict | str) for one in value):
        return "".join(map(text_of, value))
    if isinstance(value, dict):
        for key in _TEXT_KEYS:
            if value.get(key) is not None:
                return text_of(value[key])
    return "" if value is None else _encode(value).decode()


def _each(value: Any) -> Iterator[str]:
    """A list is several, unless it is one of tokens; all else is one."""
    if isinstance(value, list) and not all(isinstance(one, int) for one in value):
        yield from map(text_of, value)
    elif value is not None:
        yield text_of(value)


def _of_choice(choice: dict[str, Any]) -> str:
    if not isinstance(message := choice.get("message"), dict):
        return text_of(choice.get("text"))
    calls = (_encode(call).decode() for call in _dicts(message.get("tool_calls")))
    return text_of(message.get("content")) + "".join(calls)


def _pieces(told: dict[str, Any]) -> Iterator[tuple[object, str]]:
    for choice in _dicts(told.get("choices")):
        delta = choice.get("delta")
        yield choice.get("index"), _of_choice({"message": delta} if isinstance(delta, dict) else choice)
    match told:
        case {"type": "response.output_text.delta", "delta": str(piece)}:
            yield told.get("output_index"), piece
        case {"type": "content_block_delta", "delta": dict(delta)}:
            yield told.get("index"), text_of(delta.get("text") or delta.get("partial_json"))
        case _:
            pass


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
