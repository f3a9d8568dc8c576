"""What is said in a message, a part of one, or a field. Pure.

A text is what stands in the field, without its JSON spelling, so that the same words have the same hash however a
client writes them. For what is no text (an image, the arguments of a tool) its JSON stands.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_TEXT_KEYS = frozenset(("content", "text", "output", "documents", "input", "title"))
_ABOUT = frozenset(("type", "role", "name", "id", "status", "index", "tool_call_id", "cache_control"))
"""What an object says about itself, beside what is said in it."""
_ASIDE = ("role", "name", "id", "tool_call_id")
"""Of that, what a client may choose and a model may be shown."""
_ASIDE_OF_DOCUMENTS = (*_ASIDE, "type", "status", "index", "cache_control")
"""Of what is no message: templates may show each field of it."""
CALLS = ("tool_use", "function_call", "custom_tool_call", "mcp_call")
"""Parts that call a tool: all of them is said, its name too."""
_NOTHING: tuple[Any, ...] = (None, [], {}, "")
"""Of a field that is not known these say nothing: engines tell what there is not, as `annotations: []`."""
_ITEMS = ("message", "function_call_output")
"""Of the Responses API, which need no role."""
_ROLES = ("user", "assistant", "system", "developer", "tool", "function", None)
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
    """What is said in one message, part or field."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict | str) for one in value):
        return "".join(map(text_of, value))
    if isinstance(value, dict):  # what it says about itself are words and numbers: more than that says something
        more = (value.get(name) for name in _ASIDE)
        return of_dict(value) + "".join(text_of(each) for each in more if isinstance(each, list | dict))
    return "" if value is None else spelled(value)


def of_dict(one: dict[str, Any]) -> str:
    """A message, with the tools that it has called; a part of one; a document. Of all else it is the JSON."""
    if len(one) == 2 and "role" in one and type(content := one.get("content")) is str:  # as most are
        return content
    if (_TEXT_KEYS.isdisjoint(one) and "tool_calls" not in one) or one.get("type") in CALLS:
        return spelled(one)
    said = []
    for name, value in one.items():
        if name == "input" and isinstance(value, dict):  # of a tool: none of its names says something about it
            said.append(spelled(value))
        elif name in _TEXT_KEYS:
            said.append(value if type(value) is str else text_of(value))
        elif name == "tool_calls" and isinstance(value, list):
            said += [spelled(call) for call in value]
        elif name not in _ABOUT and value not in _NOTHING:
            said.append(spelled(value))
    return "".join(said)


def apart(one: dict[str, Any]) -> list[str]:
    """A message or document, and by itself what is in it and no text, as an image: so that its words can be found."""
    parts = one.get("content")
    if not isinstance(parts, list) or not (others := [part for part in parts if _is_no_text(part)]):
        return [of_dict(one)]
    words = [part for part in parts if not _is_no_text(part)] or ""
    said = of_dict({name: words if name == "content" else value for name, value in one.items()})
    return [*([said] if said else []), *map(text_of, others)]


def _is_no_text(part: Any) -> bool:
    return isinstance(part, dict) and _TEXT_KEYS.isdisjoint(part)


def aside(one: dict[str, Any]) -> list[str]:
    """What a message or document says about itself that may be anything: who speaks, its id."""
    if len(one) == 2 and "content" in one and one.get("role", "") in _ROLES:  # as most are
        return []
    if one.get("type") in CALLS:  # all of it is said
        return []
    names = _ASIDE if "role" in one or one.get("type") in _ITEMS else _ASIDE_OF_DOCUMENTS
    told = (one.get(name) for name in names if name != "role" or one.get(name) not in _ROLES)
    return [text_of(each) for each in told if each is not None]


def however_deep(
    read: Callable[[bytes], tuple[list[str], _More | None]], body: bytes
) -> tuple[list[str], _More | None]:
    """What `read` finds in `body`; all of that where it is too deep to be read: nothing may be hidden by its depth."""
    try:
        return read(body)
    except RecursionError:
        return [body.decode(errors="replace")], None
