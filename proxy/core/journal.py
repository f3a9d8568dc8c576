"""The journal: what was decided of late, and why, in words and numbers. Bounded; pure.

Rule: it costs a decision nothing but an append. What can be put into words later is kept as numbers.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.states import EngineState

MOST_MOVES = 1000
MOST_ANSWERS = 1000


class Cause(StrEnum):
    """Why an engine leaves, in a word, for who counts."""

    NONE = "none"
    ROOM = "room"
    """Another one needs its room."""
    IDLE = "idle"
    BY_HAND = "by_hand"
    CATALOG = "catalog"
    """Its entry has changed, or is gone."""


@dataclass(frozen=True, slots=True)
class Move:
    """An engine went from one state to another at `at_s` (monotonic)."""

    at_s: float
    model: str
    old: EngineState
    new: EngineState
    why: str
    cause: Cause = Cause.NONE


@dataclass(frozen=True, slots=True)
class Granted:
    """A ticket became a lease after `waited_s`, beside `leases` others."""

    at_s: float
    model: str
    ticket: int
    waited_s: float
    leases: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A ticket was sent away with an error."""

    at_s: float
    model: str
    ticket: int
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """One entry in words: `ago_s` before now, about `model`."""

    ago_s: float
    model: str
    what: str
    why: str


class Journal:
    """The last decisions: moves of engines, and grants and refusals, each with its own bound."""

    def __init__(self) -> None:
        self._moves: deque[Move] = deque(maxlen=MOST_MOVES)
        self._grants: deque[Granted] = deque(maxlen=MOST_ANSWERS)
        self._refusals: deque[Refused] = deque(maxlen=MOST_ANSWERS)
        self.new_moves: list[Move] = []
        """Those of the decision that is under way, or was made last."""
        self.new_answers: list[Granted | Refused] = []
        """The same of grants and refusals."""

    def __repr__(self) -> str:
        return f"<Journal {len(self._moves)} moves, {len(self._grants)} grants, {len(self._refusals)} refusals>"

    def begin(self) -> None:
        """Another decision begins."""
        self.new_moves, self.new_answers = [], []

    def note_move(self, move: Move) -> None:
        """An engine changes its state."""
        self._moves.append(move)
        self.new_moves.append(move)

    def note_answer(self, answer: Granted | Refused) -> None:
        """A ticket is granted or refused."""
        self.new_answers.append(answer)
        if isinstance(answer, Granted):
            self._grants.append(answer)
        else:
            self._refusals.append(answer)

    def about(self, model: str, now: float, most: int = 25) -> list[Told]:
        """The last moves, and the last answers, that are about `model` or name it in their reason, the newest first."""
        moves = [_told(one, now) for one in self._moves if one.model == model or f" {model}: " in one.why]
        answers = [_told(one, now) for one in self._grants if one.model == model]
        answers += [_told(one, now) for one in self._refusals if one.model == model]
        answers.sort(key=lambda one: -one.ago_s)
        oldest_first = sorted(moves[-most:] + answers[-most:], key=lambda one: -one.ago_s)
        return oldest_first[::-1]


def _told(entry: Move | Granted | Refused, now: float) -> Told:
    ago_s = now - entry.at_s
    match entry:
        case Move():
            return Told(ago_s, entry.model, f"{entry.old} -> {entry.new}", entry.why)
        case Granted():
            served = f"beside {entry.leases} others" if entry.leases else "alone"
            why = f"ticket {entry.ticket} had waited {entry.waited_s:.1f} s; it is served {served}"
            return Told(ago_s, entry.model, "grant", why)
        case Refused():
            return Told(ago_s, entry.model, f"refuse ({entry.code})", f"ticket {entry.ticket}: {entry.why}")
