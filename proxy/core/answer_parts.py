"""The texts of the parts of an answer: of an item of the Responses API, a block of Anthropic's, a call of a tool. Pure.

They are the same whether the answer came whole or as a stream. Of a tool that is called, its name is a text and its
arguments are one, as the model wrote them; those that an engine has parsed are spelled as compact JSON. What a model
thinks before it answers is not said.
"""

from typing import Any

import msgspec

from proxy.core.texts import is_call, of_call, spelled, text_of, texts_of

_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")


def of_part(one: dict[str, Any]) -> list[str]:
    """Of an item or a block."""
    kind = one.get("type")
    if kind in _THOUGHTS:
        return []
    if is_call(one):
        return [*of_call(one), *([text_of(output)] if (output := one.get("output")) else [])]
    if kind == "message" and isinstance(content := one.get("content"), list):
        return [text for part in content for text in _texts_in(part)]
    return _texts_in(one)


def of_calls(calls: Any) -> list[str]:
    """Of those in a message of a chat, or in the piece of one."""
    if not isinstance(calls, list):
        return []
    return [text for call in calls if isinstance(call, dict) for text in of_call(call)]


def respelled(pieces: str) -> str:
    """JSON that came in pieces, as it is spelled where it comes whole; no pieces are no arguments."""
    try:
        return spelled(msgspec.json.decode(pieces or "{}"))
    except (msgspec.DecodeError, RecursionError):
        return pieces


def _texts_in(part: Any) -> list[str]:
    """Of how likely its words were, nothing."""
    if not isinstance(part, dict):
        return [text_of(part)]
    return texts_of({name: value for name, value in part.items() if name != "logprobs"})
