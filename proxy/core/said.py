"""The texts of a request, for the audit to hash: what somebody says in it, and how its answer is to be drawn. Pure.

Each field that is not known to say nothing says something: a client must not get words past the audit by the field
that he puts them in. So the name of who speaks, and a role that is none, are texts beside the message's.
"""

from contextlib import suppress
from typing import Any, Literal

import msgspec

from proxy.core.texts import UNREADABLE, however_deep, spelled, text_of, texts_of

SAID_IN = (
    *("system", "instructions", "messages", "prompt", "input", "query", "documents"),
    *("text_1", "text_2", "data_1", "data_2", "items", "texts", "inputs", "queries", "tools"),
)
"""The fields of vLLM's endpoints in which somebody says something, in the order in which they are told."""
NOT_SAID = frozenset(
    (
        *("model", "agent_type", "keep_alive", "user", "stream_options", "encoding_format", "service_tier"),
        *("stop", "stop_token_ids", "bad_words", "allowed_token_ids", "logit_bias", "tool_choice", "include"),
        *("reasoning", "reasoning_effort", "thinking", "modalities", "truncation"),
        "previous_response_id",
    )
)
"""Fields of strings, lists or objects in which nobody does."""
_Number = int | float | bool | None


class Sampling(msgspec.Struct, omit_defaults=True, gc=False):
    """What decides how an answer is drawn."""

    temperature: _Number = None
    top_p: _Number = None
    top_k: _Number = None
    min_p: _Number = None
    max_tokens: _Number = None
    max_completion_tokens: _Number = None
    max_output_tokens: _Number = None
    n: _Number = None
    seed: _Number = None
    presence_penalty: _Number = None
    frequency_penalty: _Number = None
    repetition_penalty: _Number = None
    stream: _Number = None


_FIELDS = msgspec.json.Decoder(dict[str, Any])
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
DEEPEST = 6
"""To the fields of a part of a message of a conversation."""
_SAID_IN, _DRAWS = frozenset(SAID_IN), frozenset(Sampling.__struct_fields__)
_AS_IT_IS = Sampling()
"""Nothing is asked for."""
_NUMBER = (int, float)
_SILENT = (int, float, type(None))
"""Of a field that is not known these say nothing; bool is an int."""


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system"]
    content: str


class _PlainChat(Sampling, kw_only=True, forbid_unknown_fields=True):
    """A chat as most are: nothing in it is said but in messages that are one text each."""

    messages: list[_PlainMessage]
    model: Any = None
    agent_type: Any = None
    keep_alive: Any = None
    user: Any = None
    stop: Any = None
    stream_options: Any = None


_PLAIN_CHAT = msgspec.json.Decoder(_PlainChat)


def said(body: bytes) -> tuple[list[str], Sampling | None]:
    """The texts, one for each message, prompt or document, and how the answer is to be drawn, where that is asked for.

    In what is no JSON object nothing is said.
    """
    try:
        plain = _PLAIN_CHAT.decode(body)
        drawn = _drawn(plain)
        return [one.content for one in plain.messages], None if drawn == _AS_IT_IS else drawn
    except UNREADABLE:
        return however_deep(field_by_field, body)


def field_by_field(body: bytes) -> tuple[list[str], Sampling | None]:
    """The same for all that is not plain. Raises: RecursionError."""
    try:
        fields = _FIELDS.decode(body)
    except UNREADABLE:
        fields = _as_far_as_it_can_be_read(body)
    drawn = {}
    there, more = [], []
    for name, value in fields.items():
        if name in _SAID_IN:
            there.append(name)
        elif name in _DRAWS and isinstance(value, _NUMBER):
            drawn[name] = value
        elif name not in NOT_SAID and not isinstance(value, _SILENT):
            more.append(name)
    if len(there) > 1:
        there.sort(key=SAID_IN.index)
    texts = [text for name in there for text in _each(fields[name])]
    for name in more:
        value = fields[name]  # of an object that is not known, no name is taken to say nothing
        texts += [spelled(value)] if isinstance(value, dict) else _each(value)
    return texts, Sampling(**drawn) if drawn else None


def _drawn(asked: Sampling) -> Sampling:
    """What a request says of it that may say more; field by field, which takes a third of the time of `astuple`."""
    return Sampling(
        asked.temperature,
        asked.top_p,
        asked.top_k,
        asked.min_p,
        asked.max_tokens,
        asked.max_completion_tokens,
        asked.max_output_tokens,
        asked.n,
        asked.seed,
        asked.presence_penalty,
        asked.frequency_penalty,
        asked.repetition_penalty,
        asked.stream,
    )


def _each(value: Any) -> list[str]:
    """A list is several, unless it is one of tokens; all else is one."""
    if value is None:
        return []
    if isinstance(value, list) and value and isinstance(value[0], int):
        return [text_of(value)]
    texts = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            texts += texts_of(one)
        elif isinstance(one, list):  # one of several conversations
            texts += _each(one)
        else:
            texts.append(text_of(one))
    return texts


def _as_far_as_it_can_be_read(body: bytes) -> dict[str, Any]:
    """The fields of an object in which something cannot be decoded, as a number without end. None where it is none."""
    try:
        fields = _RAW_FIELDS.decode(body)
    except UNREADABLE:
        return {}
    return {name: _decoded(raw, DEEPEST) for name, raw in fields.items()}


def _decoded(raw: msgspec.Raw, levels: int) -> Any:
    """What cannot be decoded is its spelling, and hides nothing beside it so many levels down."""
    with suppress(*UNREADABLE):
        return msgspec.json.decode(raw)
    if levels:
        with suppress(*UNREADABLE):
            return {name: _decoded(one, levels - 1) for name, one in _RAW_FIELDS.decode(raw).items()}
        with suppress(*UNREADABLE):
            return [_decoded(one, levels - 1) for one in _RAW_ITEMS.decode(raw)]
    return bytes(raw).decode(errors="replace")
