"""The texts of a request and of a whole answer, for the audit to hash: what is said by a person, and to one. Pure.

A text is what stands in the field, without its JSON spelling, so that the same words have the same hash however a
client writes them. For what is no text (an image, the arguments of a tool) its JSON stands, and so for each field that
is not known to say nothing: a client must not get words past the audit by the field that he puts them in.
"""

from typing import Any

import msgspec

from proxy.core.usage import Tokens

SAID_IN = (
    *("system", "instructions", "messages", "prompt", "input", "query", "documents"),
    *("text_1", "text_2", "data_1", "data_2", "items", "texts", "inputs", "queries", "tools"),
)
"""The fields of vLLM's endpoints in which somebody says something, in the order in which they are told."""
NOT_SAID = frozenset(
    (
        *("model", "agent_type", "keep_alive", "user", "stream_options", "encoding_format", "service_tier"),
        *("stop", "stop_token_ids", "bad_words", "allowed_token_ids", "logit_bias", "tool_choice", "include"),
        *("reasoning", "reasoning_effort", "thinking", "output_config", "modalities", "truncation"),
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
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SAID_IN, _DRAWS = frozenset(SAID_IN), frozenset(Sampling.__struct_fields__)
_SAMPLING = msgspec.json.Decoder(Sampling)
_AS_IT_IS = Sampling()
"""Nothing is asked for."""
_TEXT_KEYS = frozenset(("content", "text", "output", "documents", "input", "title"))
_ABOUT = frozenset(("type", "role", "name", "id", "status", "index", "tool_call_id", "cache_control"))
"""What an object says about itself, beside what is said in it."""
_NUMBER = (int, float)
_SILENT = (int, float, type(None))
"""Of a field that is not known these say nothing; bool is an int."""
_encode = msgspec.json.encode


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
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


class Said:
    """What a request says: its texts, one for each message, prompt or document, and how its answer is to be drawn."""

    __slots__ = ("sampling", "texts")

    def __init__(self, body: bytes) -> None:
        """Of what is no JSON object nothing is said."""
        self.texts: list[str] = []
        self.sampling: Sampling | None = None
        try:
            self.texts = [one.content for one in _PLAIN_CHAT.decode(body).messages]
            if (sampling := _SAMPLING.decode(body)) != _AS_IT_IS:
                self.sampling = sampling
        except _UNREADABLE:
            self.texts = []
            try:
                self._look(body)
            except RecursionError:  # nothing of it may be hidden by its depth
                self.texts = [body.decode(errors="replace")]

    def _look(self, body: bytes) -> None:
        """At each field."""
        try:
            fields = _FIELDS.decode(body)
        except _UNREADABLE:
            fields = _as_far_as_it_can_be_read(body)
        drawn = {}
        said, more = [], []
        for name, value in fields.items():
            if name in _SAID_IN:
                said.append(name)
            elif name in _DRAWS and isinstance(value, _NUMBER):
                drawn[name] = value
            elif name not in NOT_SAID and not isinstance(value, _SILENT):
                more.append(name)
        if len(said) > 1:
            said.sort(key=SAID_IN.index)
        for name in said:
            self.texts += _each(fields[name])
        for name in more:
            self.texts.append(text_of(fields[name]))
        self.sampling = Sampling(**drawn) if drawn else None

    def __repr__(self) -> str:
        return f"<Said, {len(self.texts)} texts>"


class Message(msgspec.Struct, gc=False):
    """One of an answer, or the piece of one."""

    content: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    message: Message | None = None
    text: Any = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    output: Any = None
    content: Any = None
    usage: _Usage | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class Answered:
    """What a whole answer says: one text for each choice or output, none where it holds none, as an embedding; and
    how many tokens it took, where it says so.
    """

    __slots__ = ("texts", "tokens")

    def __init__(self, body: bytes) -> None:
        """Of what is no answer nothing is said."""
        self.texts: list[str] = []
        self.tokens: Tokens | None = None
        try:
            told = _ANSWER.decode(body)
        except _UNREADABLE:
            return
        try:
            self._look(told)
        except RecursionError:
            self.texts = [body.decode(errors="replace")]

    def _look(self, told: _Answer) -> None:
        for choice in told.choices:
            if (message := choice.message) is None:
                self.texts.append(text_of(choice.text))
            elif type(message.content) is str and message.tool_calls is None:
                self.texts.append(message.content)
            else:
                self.texts.append(of_message(message))
        if isinstance(told.output, list):  # of the Responses API
            self.texts += [text_of(one) for one in told.output if isinstance(one, dict)]
        if isinstance(told.content, list):  # Anthropic's
            self.texts.append(text_of(told.content))
        if (usage := told.usage) is not None:
            prompt = usage.input_tokens if usage.prompt_tokens is None else usage.prompt_tokens
            answer = usage.output_tokens if usage.completion_tokens is None else usage.completion_tokens
            if prompt is not None or answer is not None:
                self.tokens = Tokens(prompt or 0, answer or 0)

    def __repr__(self) -> str:
        return f"<Answered, {len(self.texts)} texts>"


def of_message(message: Message) -> str:
    """What is said in it, with the tools that it calls."""
    content = message.content
    said = content if type(content) is str else text_of(content)
    if isinstance(message.tool_calls, list):
        said += "".join(_encode(call).decode() for call in message.tool_calls if isinstance(call, dict))
    return said


def text_of(value: Any) -> str:
    """What is said in one message, part or field."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict | str) for one in value):
        return "".join(map(text_of, value))
    if isinstance(value, dict):
        return _of_dict(value)
    return "" if value is None else _encode(value).decode()


def _each(value: Any) -> list[str]:
    """A list is several, unless it is one of tokens; all else is one."""
    if not isinstance(value, list) or (value and isinstance(value[0], int)):
        return [] if value is None else [text_of(value)]
    return [_of_dict(one) if isinstance(one, dict) else text_of(one) for one in value]


def _of_dict(one: dict[str, Any]) -> str:
    """A message, with the tools that it has called; a part of one; a document. Of all else it is the JSON."""
    if len(one) == 2 and "role" in one and type(content := one.get("content")) is str:  # as most are
        return content
    if _TEXT_KEYS.isdisjoint(one) and "tool_calls" not in one:
        return _encode(one).decode()
    said = []
    for name, value in one.items():
        if name in _TEXT_KEYS:
            said.append(value if type(value) is str else text_of(value))
        elif name == "tool_calls" and isinstance(value, list):
            said += [_encode(call).decode() for call in value]
        elif name not in _ABOUT and value is not None:
            said.append(_encode(value).decode())
    return "".join(said)


def _as_far_as_it_can_be_read(body: bytes) -> dict[str, Any]:
    """The fields of an object in which something cannot be decoded, as a number without end: its spelling stands for
    that. None where it is no object.
    """
    try:
        fields: dict[str, Any] = dict(_RAW_FIELDS.decode(body))
    except _UNREADABLE:
        return {}
    for name, raw in fields.items():
        try:
            fields[name] = msgspec.json.decode(raw)
        except _UNREADABLE:
            fields[name] = bytes(raw).decode(errors="replace")
    return fields
