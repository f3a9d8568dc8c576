"""What is said in a message, an item, a part of one, a document, or a field: text by text. Pure.

A text is what stands in a field, without its JSON spelling, so that the same words have the same hash however a client
writes them and whatever stands beside them. For what is no text (an image, an object of no known kind) its JSON stands.
What an object says about itself says nothing only in the words in which engines say it: all else may be a client's.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import msgspec

_TEXT_KEYS = frozenset(("content", "text", "output", "documents", "input", "title", "refusal"))
"""The fields in which words stand, or parts."""
_CALLS = frozenset(("tool_use", "function_call", "custom_tool_call", "mcp_call"))
"""Parts that call a tool."""
_ROLES = frozenset(("user", "assistant", "system", "developer", "tool", "function"))
_PLAIN_PARTS = ("text", "input_text", "output_text")
_TYPES = _CALLS | {
    *("text", "input_text", "output_text", "refusal", "message", "tool_result", "thinking", "reasoning"),
    *("function", "custom", "function_call_output", "custom_tool_call_output", "document", "item_reference"),
}
_KNOWN: Mapping[str, Collection[str]] = {
    "role": _ROLES,
    "type": _TYPES,
    "status": frozenset(("completed", "in_progress", "incomplete", "failed")),
}
"""What says nothing, by the field in which it stands."""
_NOTHING: tuple[Any, ...] = (None, [], {}, "")
"""Engines tell what there is not, as `annotations: []`."""
_EPHEMERAL = {"type": "ephemeral"}
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding what somebody has sent may raise."""
_More = TypeVar("_More")


class Message(msgspec.Struct, gc=False):
    """One of an answer, or the piece of one."""

    content: Any = None
    tool_calls: Any = None


def spelled(value: Any) -> str:
    """Its JSON."""
    return msgspec.json.encode(value).decode()


def text_of(value: Any) -> str:
    """What is said in a field: its text; of all else, its JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else spelled(value)


def texts_of(one: dict[str, Any]) -> list[str]:
    """A message, an item, a part or a document: its words first, part by part, then all else that may say something."""
    if len(one) == 2:  # as most are
        if "role" in one and type(content := one.get("content")) is str and _is_known("role", one["role"]):
            return [content]
        if type(text := one.get("text")) is str and one.get("type") in _PLAIN_PARTS:
            return [text]
    if is_call(one):
        return _texts_of_call(one)
    calls = one.get("tool_calls")
    if _TEXT_KEYS.isdisjoint(one) and not isinstance(calls, list):
        return [spelled(one)]
    words: list[str] = []
    more: list[str] = []
    for name, value in one.items():
        if name in _TEXT_KEYS:
            words += [spelled(value)] if name == "input" and isinstance(value, dict) else _texts_in(value)
        elif name == "tool_calls" and isinstance(value, list):
            for call in value:
                more += _texts_of_call(call) if isinstance(call, dict) else [text_of(call)]
        else:
            more += _aside(name, value)
    return words + more


def is_call(part: dict[str, Any]) -> bool:
    """Whether it calls a tool."""
    return isinstance(kind := part.get("type"), str) and kind in _CALLS


def of_call(call: dict[str, Any]) -> list[str]:
    """The name of a tool that is called, and its arguments as they are written; the JSON of what names none."""
    if (found := _called(call)) is None:
        return [spelled(call)]
    inner, given = found
    arguments = inner.get(given)
    return [inner["name"], spelled(arguments) if isinstance(arguments, dict | list) else text_of(arguments)]


def however_deep(
    read: Callable[[bytes], tuple[list[str], _More | None]], body: bytes
) -> tuple[list[str], _More | None]:
    """What `read` finds in `body`; all of that where it is too deep to be read: nothing may be hidden by its depth."""
    try:
        return read(body)
    except RecursionError:
        return [body.decode(errors="replace")], None


def _texts_in(value: Any) -> list[str]:
    """What stands where words do: a text, or parts."""
    if isinstance(value, dict):
        return texts_of(value)
    if isinstance(value, list) and all(isinstance(part, dict | str) for part in value):
        return [text for part in value for text in ([part] if isinstance(part, str) else texts_of(part))]
    return [] if value is None else [text_of(value)]


def _called(call: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Where its name stands, and in which field beside it its arguments; None where it has no name."""
    for inner in (call, call.get("function"), call.get("custom")):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return inner, "arguments" if "arguments" in inner else "input"
    return None


def _texts_of_call(call: dict[str, Any]) -> list[str]:
    """Its name and its arguments, and all else."""
    texts = of_call(call)
    if (found := _called(call)) is not None:
        inner, given = found
        for level in (call,) if inner is call else (inner, call):
            for name, value in level.items():
                is_told = value is inner or (level is inner and name in ("name", given))
                texts += [] if is_told else _aside(name, value)
    return texts


def _aside(name: str, value: Any) -> list[str]:
    """What an object says about itself."""
    if value in _NOTHING or _is_known(name, value):
        return []
    if (name == "index" and type(value) is int) or (name == "cache_control" and value == _EPHEMERAL):
        return []
    if isinstance(value, list):
        return [text_of(each) for each in value]
    return [text_of(value)]


def _is_known(name: str, value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in _KNOWN.get(name, ()))
