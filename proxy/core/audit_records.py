"""The lines of the audit: what each holds beside its number and the mark of the one before. Pure.

Texts are never in it: for each stands its hash (`audit_hashes`). Times are UTC, durations in seconds.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from proxy.core.audit_check import Kind
from proxy.core.chain import Line
from proxy.core.said import Sampling
from proxy.core.usage import Tokens

_BEGIN, _END, _ACT, _OPEN, _CLOSE = Kind.BEGIN.value, Kind.END.value, Kind.ACT.value, Kind.OPEN.value, Kind.CLOSE.value
PROXY = "the proxy"
"""Who does what nobody has asked for."""
BEGAN = "began"
"""What it does first."""
_SAID_THERE = ("", "", "", "")
_NO_HASHES: list[str] = []


class Asked(Protocol):
    """A request, or a socket, as both of its lines name it."""

    @property
    def request_id(self) -> str:
        """The client's, or made here."""

    @property
    def key_name(self) -> str:
        """By which key it is asked."""

    @property
    def path(self) -> str:
        """The endpoint's."""

    @property
    def agent_type(self) -> str:
        """Empty where none was named."""

    @property
    def model(self) -> str:
        """Who answers."""


class Over(Asked, Protocol):
    """One that is over."""

    @property
    def outcome(self) -> str:
        """How it ended."""

    @property
    def told_status(self) -> int:
        """Of HTTP."""

    @property
    def error_code(self) -> str:
        """Empty where there was no error of the proxy's own."""

    @property
    def fallback(self) -> str | None:
        """Which model it was for, where another one answered, and why."""

    @property
    def waited_s(self) -> float | None:
        """For an engine; None where it never asked for one."""

    @property
    def first_byte_s(self) -> float | None:
        """Until the engine's head; None where none came."""

    @property
    def total_s(self) -> float:
        """Until now."""


class Begin(Line):
    """A request is about to be forwarded.

    `engine` is its model, vLLM's version and the hash of all it is told; `prompt` the hash of all texts, one after the
    other, `messages` those of each, where there are several.
    """

    id: str = ""
    key: str = ""
    client: str = ""
    endpoint: str = ""
    agent_type: str = ""
    model: str = ""
    engine: str = ""
    weights: str = ""
    sampling: Sampling | None = None
    prompt: str = ""
    messages: list[str] = []


class End(Line):
    """What became of a request.

    `of` is the number of its line `begin`, which says who asked whom for what; one that was never forwarded has none,
    and then its end says that. `body` is the hash of all bytes of a request that went through unread, or as a form:
    then its texts, or the form's parts, are hashed here too, since they were not known before.
    """

    id: str = ""
    of: int = 0
    key: str = ""
    endpoint: str = ""
    agent_type: str = ""
    model: str = ""
    outcome: str = ""
    status: int | None = None
    error: str = ""
    fallback: str | None = None
    waited_s: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    answer: str = ""
    answers: list[str] = []
    body: str = ""
    prompt: str = ""
    messages: list[str] = []
    client: str = ""


class Edge(Line):
    """A segment begins, or ends: see `Kind`."""

    segment: int = 0
    torn: int | None = None
    mac: str = ""


class Act(Line):
    """Something was done: by whom, what, and to which model."""

    who: str = ""
    what: str = ""
    model: str = ""


def begun(
    at: str,
    asked: Asked,
    client: str,
    engine: str,
    weights: str,
    sampling: Sampling | None = None,
    prompt: str = "",
    messages: list[str] = _NO_HASHES,
) -> Begin:
    """The line of a request that is about to be forwarded."""
    return Begin(  # by place: each request waits for it, and names cost more than the line does
        0,
        "",
        _BEGIN,
        at,
        asked.request_id,
        asked.key_name,
        client,
        asked.path,
        asked.agent_type,
        asked.model,
        engine,
        weights,
        sampling,
        prompt,
        messages,
    )


def ended(
    at: str,
    of: int,
    asked: Over,
    tokens: Tokens | None = None,
    answer: str = "",
    answers: list[str] = _NO_HASHES,
    body: str = "",
    prompt: str = "",
    messages: list[str] = _NO_HASHES,
    client: str = "",
) -> End:
    """The line of a request that is over; `of` is the number of its line `begin`, 0 where it has none.

    Who asked, and from where, is said only there, if it is there.
    """
    key, endpoint, agent_type, model = (
        _SAID_THERE if of else (asked.key_name, asked.path, asked.agent_type, asked.model)
    )
    waited_s, first_byte_s = asked.waited_s, asked.first_byte_s
    return End(
        0,
        "",
        _END,
        at,
        asked.request_id,
        of,
        key,
        endpoint,
        agent_type,
        model,
        asked.outcome,
        asked.told_status,
        asked.error_code,
        asked.fallback,
        waited_s and int(waited_s * 1e6) / 1e6,
        first_byte_s and int(first_byte_s * 1e6) / 1e6,
        int(asked.total_s * 1e6) / 1e6,
        None if tokens is None else tokens.prompt,
        None if tokens is None else tokens.answer,
        answer,
        answers,
        body,
        prompt,
        messages,
        "" if of else client,
    )


def acted(at: str, who: str, what: str, model: str = "") -> Act:
    """The line of what somebody has done."""
    return Act(0, "", _ACT, at, who, what, model)


def opened(at: str, segment: int, torn: int) -> Edge:
    """The line that a segment begins with."""
    return Edge(0, "", _OPEN, at, segment, torn)


def closed(at: str, segment: int, mac: str) -> Edge:
    """The line that a segment ends with."""
    return Edge(0, "", _CLOSE, at, segment, None, mac)


def moment(wall: float) -> str:
    """ISO 8601, UTC, with microseconds."""
    second = int(wall)
    return f"{_second(second)}.{str(1_000_000 + int((wall - second) * 1_000_000))[1:]}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """strftime costs more than all else of a line."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
