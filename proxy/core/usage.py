"""How many tokens a request took, as its engine says it, found in the answer as it passes. Pure.

OpenAI's answers say `"usage": {"prompt_tokens", "completion_tokens"}`, those of the Responses API and Anthropic's
`{"input_tokens", "output_tokens"}`, Anthropic's streams in two events. In a JSON string a quote is escaped, so that the
bytes `"usage":` are a name wherever they stand, and no text can pretend to be one.
"""

import json
from typing import NamedTuple

import msgspec

_NAME = b'"usage":'
_LONGEST_BYTES = 2048
_MOST_PIECES = 3
_DECODER = json.JSONDecoder()
"""It reads a value and says where that ends; msgspec wants to have the end."""


class Tokens(NamedTuple):
    """Of the prompt, and of the answer."""

    prompt: int
    answer: int


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class UsageFinder:
    """Sees one answer pass."""

    def __init__(self) -> None:
        self._carried = b""
        self._found: list[bytes] = []

    def __repr__(self) -> str:
        return f"<UsageFinder {self.tokens()}>"

    def __call__(self, data: bytes) -> bool:
        """Look at some more of the body; there may always be more to come."""
        seen = self._carried + data
        if self._found and len(self._found[-1]) < _LONGEST_BYTES:
            self._found[-1] += data[: _LONGEST_BYTES - len(self._found[-1])]
        at = seen.find(_NAME)
        while at >= 0:
            # The first ones tell of the prompt, the last one of all.
            del self._found[_MOST_PIECES - 1 :]
            self._found.append(seen[at + len(_NAME) : at + _LONGEST_BYTES])
            at = seen.find(_NAME, at + 1)
        self._carried = seen[1 - len(_NAME) :]
        return True

    def tokens(self) -> Tokens | None:
        """What it took; None where that was not said."""
        prompt = answer = 0
        is_said = False
        for piece in self._found:
            if (usage := _decoded(piece)) is None:
                continue
            is_said = True
            prompt = max(prompt, usage.prompt_tokens, usage.input_tokens)
            answer = max(answer, usage.completion_tokens, usage.output_tokens)
        return Tokens(prompt, answer) if is_said else None


def _decoded(piece: bytes) -> _Usage | None:
    """The object that `piece` begins with, if it is one and whole."""
    try:
        said, _ = _DECODER.raw_decode(piece.decode(errors="replace").lstrip())
        return msgspec.convert(said, _Usage)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
