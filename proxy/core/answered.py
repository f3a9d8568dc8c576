"""The texts of a whole answer, for the audit to hash: what is said to somebody; and how many tokens it took. Pure."""

from contextlib import suppress
from typing import Annotated, Any

import msgspec

from proxy.core.answer_parts import of_calls, of_part
from proxy.core.texts import UNREADABLE, Message, however_deep, text_of
from proxy.core.usage import Tokens


class _PlainMessage(msgspec.Struct, gc=False):
    content: str
    tool_calls: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None


class _PlainChoice(msgspec.Struct, gc=False):
    message: _PlainMessage


class _PlainAnswer(msgspec.Struct, gc=False):
    """As most are: of a chat, without tools."""

    choices: list[_PlainChoice]
    usage: Tokens
    output: None = None
    content: None = None
    text: None = None
    prompt: None = None
    answers: None = None


class _Choice(msgspec.Struct, gc=False):
    message: Message | None = None
    text: Any = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    output: Any = None
    content: Any = None
    text: Any = None
    prompt: Any = None
    answers: Any = None
    usage: Any = None


_PLAIN_ANSWER = msgspec.json.Decoder(_PlainAnswer)
_ANSWER = msgspec.json.Decoder(_Answer)


def answered(body: bytes) -> tuple[list[str], Tokens | None]:
    """One text for each choice, output or block, two for each tool that is called, none where it holds none, as an
    embedding; and the tokens, where it says so.

    What is no JSON, as subtitles or an answer that was torn, is one text, if it is any.
    """
    try:
        plain = _PLAIN_ANSWER.decode(body)
        return [one.message.content for one in plain.choices], plain.usage
    except UNREADABLE:
        return however_deep(field_by_field, body)


def field_by_field(body: bytes) -> tuple[list[str], Tokens | None]:
    """The same for all that is not plain. Raises: RecursionError."""
    try:
        told = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _as_it_stands(body), None
    texts: list[str] = []
    for choice in told.choices:
        if (message := choice.message) is None:
            texts.append(text_of(choice.text))
        else:
            texts += [text_of(message.content), *of_calls(message.tool_calls)]
    for parts in (told.output, told.content):  # of the Responses API; Anthropic's
        if isinstance(parts, list):
            texts += [text for part in parts if isinstance(part, dict) for text in of_part(part)]
    texts += [one for one in (told.text, told.prompt) if isinstance(one, str)]  # of speech; of tokens
    if isinstance(told.answers, dict):  # of structured decisions, by their questions
        texts += [text_of(one) for one in told.answers.values()]
    return texts, _tokens(told.usage)


def _as_it_stands(body: bytes) -> list[str]:
    """What is no JSON at all, if it is text."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with suppress(UnicodeDecodeError):
            return [body.decode()] if body else []
    return []


def _tokens(usage: Any) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    answer = _count(usage, "completion_tokens", "output_tokens")
    return None if prompt is None and answer is None else Tokens(prompt or 0, answer or 0)


def _count(usage: dict[str, Any], *names: str) -> int | None:
    """The first of them that is told."""
    return next((told for name in names if type(told := usage.get(name)) is int), None)
