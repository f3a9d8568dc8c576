"""What happens, for who looks on: every event that the scheduler is told of, and everything that it decides.

The last ones are kept, so that who comes later, or comes back, knows how it came to this. Rule: an onlooker who is slow
is told that he has missed something, and holds nobody up. What happens to single requests is told and not kept.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from proxy.core import messages
from proxy.core.audit_records import moment
from proxy.core.journal import Granted, Move, Refused
from proxy.core.messages import Event
from proxy.core.scheduler import Scheduler
from proxy.history import History

MOST_KEPT = 2000
MOST_AHEAD = 2 * MOST_KEPT
"""An onlooker who is further behind has missed something."""

ROUGHLY_BYTES = 2**26
"""What strangers hold is told when it has changed by about so much: a desktop's changes all the time."""


class Kind(StrEnum):
    """What kind of happening it is."""

    MOVE = "move"
    """An engine went from one state to another: `old`, `new`, `why`, `cause`, and what it holds now by device."""
    GRANT = "grant"
    """A request that had waited got its lease; not kept."""
    REFUSAL = "refusal"
    """A request was sent away: `code`, `why`."""
    EVENT = "event"
    """The scheduler was told something: `what`, and what belongs to it; requests that come are not kept."""
    STRANGERS = "strangers"
    """What processes hold that are not Rota's, by device, in bytes; when it has changed."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One of them: `n` counts from the proxy's begin, `told` is what belongs to its kind."""

    n: int
    at: str
    kind: Kind
    model: str
    told: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Flat, as it is sent."""
        return {"n": self.n, "at": self.at, "kind": self.kind, "model": self.model, **self.told}


class Onlooker:
    """One who looks on. In what he is told, None stands where he has missed something."""

    def __init__(self, past: Iterable[Happening]) -> None:
        self._ahead: deque[Happening | None] = deque(past)
        self._news = asyncio.Event()
        self.is_over = False
        """Nothing more will happen."""

    def __repr__(self) -> str:
        return f"<Onlooker, {len(self._ahead)} ahead>"

    def tell(self, happening: Happening) -> None:
        """It has happened."""
        if len(self._ahead) >= MOST_AHEAD:
            self._ahead.clear()
            self._ahead.append(None)
        self._ahead.append(happening)
        self._news.set()

    def close(self) -> None:
        """The proxy goes away."""
        self.is_over = True
        self._news.set()

    async def next(self, timeout_s: float) -> list[Happening | None]:
        """All that has happened since the last time; waits so long for it where that is nothing."""
        if not self._ahead and not self.is_over:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), timeout_s)
        news = list(self._ahead)
        self._ahead.clear()
        return news


class Happenings:
    """All of them, of one life of the proxy."""

    def __init__(self) -> None:
        self.n = 0
        """The number of the last one."""
        self.life = f"{int(time.time()):x}"
        """Numbers of another life mean something else."""
        self.history = History()
        self._kept: deque[Happening] = deque(maxlen=MOST_KEPT)
        self._onlookers: list[Onlooker] = []
        self._strangers: dict[str, int] = {}
        self._is_over = False

    def __repr__(self) -> str:
        return f"<Happenings {self.n}, {len(self._onlookers)} look on>"

    def look(self, after: int | None) -> Onlooker:
        """Look on from now on, or from behind the happening `after`; to be ended with `leave`."""
        past = () if after is None else (one for one in self._kept if one.n > after)
        onlooker = Onlooker(past)
        onlooker.is_over = self._is_over
        self._onlookers.append(onlooker)
        return onlooker

    @property
    def kept(self) -> list[Happening]:
        """The last ones, the oldest first."""
        return list(self._kept)

    def has_all_after(self, n: int) -> bool:
        """Whether nothing is missed by who has heard of `n` last. What is not kept is not counted."""
        return n <= self.n and (not self._kept or len(self._kept) < MOST_KEPT or self._kept[0].n <= n + 1)

    def leave(self, onlooker: Onlooker) -> None:
        """He looks on no longer."""
        self._onlookers.remove(onlooker)

    def close(self) -> None:
        """The proxy goes away."""
        self._is_over = True
        for onlooker in self._onlookers:
            onlooker.close()

    def is_over(self) -> bool:
        """Whether it does."""
        return self._is_over

    def note(self, event: Event, scheduler: Scheduler) -> None:
        """The scheduler has been told of `event`, and has decided."""
        match event:
            case messages.Tick() | messages.RequestEnded():
                pass
            case messages.StrangersSeen():
                self._note_strangers(event)
            case messages.RequestArrived():
                if self._onlookers:
                    self._tell(Kind.EVENT, event.model, _fields(event), is_kept=False)
            case messages.AmountsLearned() | messages.CostsRemembered() | messages.HostSeen():
                pass  # figures, which /status has
            case _:
                self._tell(Kind.EVENT, event.model, _fields(event))
        for answer in scheduler.answers():
            self._note_answer(answer)
        for move in scheduler.moves():
            self._note_move(move, scheduler)

    def _note_move(self, move: Move, scheduler: Scheduler) -> None:
        placing = scheduler.ledger.placings.get(move.model)
        held = {} if placing is None else dict.fromkeys(placing.devices, placing.bytes)
        told = {"old": move.old, "new": move.new, "why": move.why, "cause": move.cause, "held": held}
        self._tell(Kind.MOVE, move.model, told)
        self.history.moved(move, held, time.time())

    def _note_answer(self, answer: Granted | Refused) -> None:
        if isinstance(answer, Refused):
            self._tell(Kind.REFUSAL, answer.model, {"code": answer.code, "why": answer.why})
            self.history.refused(answer.model, answer.code, answer.why, time.time())
        elif self._onlookers:
            told = {"waited_s": round(answer.waited_s, 3), "leases": answer.leases}
            self._tell(Kind.GRANT, answer.model, told, is_kept=False)

    def _note_strangers(self, event: messages.StrangersSeen) -> None:
        held = {device: one.bytes for device, one in event.by_device.items()}
        roughly = {device: amount // ROUGHLY_BYTES for device, amount in held.items()}
        if roughly != self._strangers:
            self._strangers = roughly
            self._tell(Kind.STRANGERS, "", {"held": held})
            self.history.strangers_hold(held, time.time())

    def _tell(self, kind: Kind, model: str, told: dict[str, Any], *, is_kept: bool = True) -> None:
        self.n += 1
        happening = Happening(self.n, moment(time.time()), kind, model, told)
        if is_kept:
            self._kept.append(happening)
        for onlooker in self._onlookers:
            onlooker.tell(happening)


_LONG = frozenset({"model", "needs", "costs", "last_words", "diagnosis"})


def _fields(event: Event) -> dict[str, Any]:
    """What belongs to an event, but for its model and what is long; `what` is its name."""
    told: dict[str, Any] = {"what": _name(type(event))}
    for field in fields(event):
        if field.name in _LONG or (value := getattr(event, field.name)) is None:
            continue
        told[field.name] = getattr(value, "message", value)
    return told


def _name(kind: type) -> str:
    """RequestArrived as request_arrived."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("_")
