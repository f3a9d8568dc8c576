"""How many tokens a request took, as its engine says it, found in the answer as it passes. Pure.

OpenAI's answers say `"usage": {"prompt_tokens", "completion_tokens"}`, those of the Responses API and Anthropic's
`{"input_tokens", "output_tokens"}`, Anthropic's streams in two events. In a JSON string a quote is escaped, so that the
bytes `"usage":` are a name wherever they stand, and no text can pretend to be one.
"""

import re

import msgspec

_NAME = b'"usage":'
_LONGEST_BYTES = 2048
_MOST_PIECES = 3
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens":\s*(\d{1,12})(?=[,}\s])')
_ANSWER = re.compile(rb'"(?:completion|output)_tokens":\s*(\d{1,12})(?=[,}\s])')


class Tokens(msgspec.Struct, frozen=True, gc=False, rename={"prompt": "prompt_tokens", "answer": "completion_tokens"}):
    """Of the prompt, and of the answer; in JSON as in most answers."""

    prompt: int
    answer: int


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
        prompt = answer = -1
        for piece in self._found:
            prompt = max(prompt, _most(_PROMPT, piece))
            answer = max(answer, _most(_ANSWER, piece))
        return None if prompt < 0 and answer < 0 else Tokens(max(0, prompt), max(0, answer))


def _most(pattern: re.Pattern[bytes], piece: bytes) -> int:
    return max((int(found) for found in pattern.findall(piece)), default=-1)
