"""The texts of the parts of an answer: of an item of the Responses API, a block of Anthropic's, a call of a tool. Pure.

They are the same whether the answer came whole or as a stream. Of a tool that is called, its name is a text and its
arguments are one, as the model wrote them; those that an engine has parsed are spelled as compact JSON. What a model
thinks before it answers is not said.
"""

from typing import Any

import msgspec

from proxy.core.texts import CALLS, of_dict, spelled, text_of

_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")


def of_part(one: dict[str, Any]) -> list[str]:
    """Of an item or a block."""
    kind = one.get("type")
    if kind in _THOUGHTS:
        return []
    if kind in CALLS:
        return [*of_call(one), *([text_of(output)] if (output := one.get("output")) else [])]
    if kind == "message" and isinstance(content := one.get("content"), list):
        return ["".join(_words(part) for part in content)]
    return [_words(one)]


def of_calls(calls: Any) -> list[str]:
    """Of those in a message of a chat, or in the piece of one."""
    if not isinstance(calls, list):
        return []
    return [text for call in calls if isinstance(call, dict) for text in of_call(call)]


def of_call(call: dict[str, Any]) -> list[str]:
    """The name and the arguments; the JSON of what has none, as of a kind that is not known."""
    for inner in (call, call.get("function"), call.get("custom")):
        if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
            given = inner.get("arguments", inner.get("input"))
            return [name, spelled(given) if isinstance(given, dict | list) else text_of(given)]
    return [spelled(call)]


def respelled(pieces: str) -> str:
    """JSON that came in pieces, as it is spelled where it comes whole; no pieces are no arguments."""
    try:
        return spelled(msgspec.json.decode(pieces or "{}"))
    except (msgspec.DecodeError, RecursionError):
        return pieces


def _words(part: Any) -> str:
    """What else is in a part, as its citations, is said too where there is any."""
    if not isinstance(part, dict):
        return text_of(part)
    if isinstance(refusal := part.get("refusal"), str) and not part.get("text"):
        return refusal
    return of_dict(part)
