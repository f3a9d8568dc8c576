"""The last hour of the roster: which engine was in which state, what it held where, and why; what strangers held.

Facts for who draws it. Rule: what ended more than an hour ago is forgotten, and of very much only the newest is kept.
Times are seconds since 1970. The next proxy goes on from what this one has seen; of the time between nothing is known.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.core.journal import Move
from proxy.core.states import EngineState

KEPT_S = 3600.0
MOST_SPANS = 10_000
MOST_REFUSALS = 1000


@dataclass(slots=True)
class Span:
    """An engine in one state, from `begin` to `end`, None while it lasts; it `held` so many bytes of each device."""

    model: str
    state: EngineState
    begin: float
    end: float | None
    held: dict[str, int]
    why: str
    cause: str


@dataclass(frozen=True, slots=True)
class StrangersHeld:
    """What processes that are not Rota's held of each device from `begin` on, in bytes."""

    begin: float
    held: dict[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request for `model` was sent away."""

    at: float
    model: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Gap:
    """No proxy looked from `begin` to `end`."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a proxy has seen until it went away `at` a time, for the next one."""

    at: float = 0.0
    spans: list[Span] = field(default_factory=list)
    strangers: list[StrangersHeld] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class History:
    """The last hour, as far as proxies of this installation have seen it."""

    def __init__(self) -> None:
        self._ended: deque[Span] = deque(maxlen=MOST_SPANS)
        self._lasting: dict[str, Span] = {}
        self._strangers: deque[StrangersHeld] = deque(maxlen=MOST_SPANS)
        self._gaps: list[Gap] = []
        self._refusals: deque[Refusal] = deque(maxlen=MOST_REFUSALS)

    def __repr__(self) -> str:
        return f"<History {len(self._ended)} spans, {len(self._lasting)} last>"

    def go_on_from(self, seen: Seen, now: float) -> None:
        """Take what the proxy before has seen; to be called once, before anything happens."""
        self._ended.extend(replace(one, end=seen.at if one.end is None else one.end) for one in seen.spans)
        self._strangers.extend(seen.strangers)
        self._refusals.extend(seen.refusals)
        self._gaps = [*seen.gaps, *([Gap(seen.at, now)] if seen.at else [])]
        self._forget(now)

    def seen(self, now: float) -> Seen:
        """All of it, for the next proxy."""
        self._forget(now)
        spans = [*self._ended, *self._lasting.values()]
        return Seen(now, spans, list(self._strangers), self._gaps, list(self._refusals))

    def moved(self, move: Move, held: Mapping[str, int], at: float) -> None:
        """An engine has entered a state, and holds so much in it."""
        if (before := self._lasting.pop(move.model, None)) is not None:
            before.end = at
            self._ended.append(before)
        span = Span(move.model, move.new, at, None, dict(held), move.why, move.cause)
        if move.new is EngineState.STOPPED:  # it has a moment, and no length: nothing is held from then on
            span.end = at
            self._ended.append(span)
        else:
            self._lasting[move.model] = span
        self._forget(at)

    def refused(self, model: str, code: str, why: str, at: float) -> None:
        """A request was sent away."""
        self._refusals.append(Refusal(at, model, code, why))

    def strangers_hold(self, held: Mapping[str, int], at: float) -> None:
        """What strangers hold has changed."""
        self._strangers.append(StrangersHeld(at, dict(held)))
        self._forget(at)

    def told(self, now: float) -> dict[str, Any]:
        """All of it, to be encoded: `spans` in the order of their ends, those that last behind them."""
        self._forget(now)
        return {
            "now": now,
            "kept_s": KEPT_S,
            "spans": [*self._ended, *self._lasting.values()],
            "strangers": [*self._strangers],
            "gaps": self._gaps,
            "refusals": [*self._refusals],
        }

    def _forget(self, now: float) -> None:
        while self._ended and (self._ended[0].end or now) < now - KEPT_S:
            self._ended.popleft()
        self._gaps = [gap for gap in self._gaps if gap.end >= now - KEPT_S]
        while self._refusals and self._refusals[0].at < now - KEPT_S:
            self._refusals.popleft()
        while len(self._strangers) > 1 and self._strangers[1].begin < now - KEPT_S:
            self._strangers.popleft()
