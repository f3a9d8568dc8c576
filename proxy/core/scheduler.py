"""The scheduler: one event in, a list of commands out. It records the event, then calls the one decision function.

Nothing here awaits, reads a clock, logs or does I/O; `now` is monotonic seconds and an argument.

1. A ticket for a READY engine is granted at once; for any other it waits, in the order of arrival.
2. Demands (tickets, and processes at the gate) are served in the order that `policy` gives, which also says whether a
   swap is worth what it costs.
3. Where a demand does not fit, `placement` plans where it goes and who makes room, by sleeping or by stopping. Victims
   drain first: no new leases, wait for zero. A victim that is no longer needed goes back to READY.
4. Memory is reserved before a start or a wake, and given back when it has been seen free, never earlier. What
   strangers hold is not there for anybody; who fits nowhere because of them is told so, by name.
5. At most one start, wake, sleep or stop is begun on a device at a time.
6. A failed start is tried again after a cool-down: always the same where the cause passes, twice as long each time
   where the cause is unknown, never where it lies in the configuration. By hand it is tried at once.
7. A failed sleep or wake ends the process; who waits gets a cold start. After two failures of a level in a row the
   engine is not put to sleep at it any more.
8. What a person stopped stays stopped until a person starts it, unless the setting says otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence

from proxy.core import at_once, errors
from proxy.core.board import Board
from proxy.core.costs import Costs
from proxy.core.decide import decide
from proxy.core.devices import Device
from proxy.core.doubts import is_plain
from proxy.core.explain import Explanation, explain
from proxy.core.fits import too_large
from proxy.core.journal import Granted, Move, Refused
from proxy.core.ledger import Ledger
from proxy.core.limits import Limits
from proxy.core.may_sleep import why_not_sleep
from proxy.core.messages import Command, Event
from proxy.core.outlook import outlook
from proxy.core.record import record
from proxy.core.roster import EngineNeeds
from proxy.core.states import ABSENT, EngineState
from proxy.core.views import EngineView, view
from proxy.core.waiters import Waiter, waiters
from proxy.core.whatif import WhatIf, what_if

LEARNED_BY = frozenset({EngineState.READY, EngineState.ASLEEP, EngineState.STOPPED})
"""Who enters one of these has ended an act that took some time."""


class Scheduler:
    """Decides who runs where."""

    def __init__(
        self,
        devices: Iterable[Device],
        models: Mapping[str, EngineNeeds],
        limits: Limits | None = None,
        *,
        host_bytes: int = 0,
        now: float = 0.0,
    ) -> None:
        self._board = Board(devices, models, limits or Limits(), host_bytes=host_bytes, now=now)
        self._learned: dict[str, Costs] = {}

    def __repr__(self) -> str:
        return f"<Scheduler {self._board!r}>"

    @property
    def ledger(self) -> Ledger:
        """Who holds what; to look at."""
        return self._board.ledger

    def handle(self, event: Event, now: float) -> list[Command]:
        """Record `event`, decide, and return what to do, in this order."""
        self._board.commands, self._board.is_stale = [], True
        self._board.journal.begin()
        record(self._board, event, now)
        # Before decide: there a new entry of the catalog may take the place of the one that this was learned of.
        self._learned = {
            move.model: self._board.engines[move.model].costs.kept()
            for move in self._board.journal.new_moves
            if move.new in LEARNED_BY
        }
        decide(self._board, now)
        return self._board.commands

    def grant_at_once(self, model: str, ticket: int, keep_alive_s: float | None, now: float) -> bool:
        """The short way of RequestArrived: a lease, where nothing is to be decided; else False, and nothing is done."""
        return at_once.grant(self._board, model, ticket, keep_alive_s, now)

    def end_at_once(self, ticket: int, now: float) -> bool:
        """The short way of RequestEnded: the lease's end, where nothing follows from it; else False."""
        return at_once.end(self._board, ticket, now)

    def states(self) -> dict[str, EngineState]:
        """The state of every engine, by model."""
        return {model: engine.state for model, engine in self._board.engines.items()}

    def starts_plainly(self, model: str) -> bool:
        """Whether the next process of `model` is to do nothing ahead."""
        return model not in self._board.gone and is_plain(self._board.engines[model])

    def awaits_process(self, model: str) -> bool:
        """Whether a process of `model` was told to start, and has not asked yet."""
        return model not in self._board.gone and self._board.engines[model].is_due_at_gate

    def is_absent(self, model: str) -> bool:
        """Whether `model`'s engine would have to be started. Raises: KeyError, but for one that has just left."""
        if model in self._board.gone:
            return False
        return self._board.engines[model].state in ABSENT

    def moves(self) -> list[Move]:
        """The changes of state that the last event led to."""
        return self._board.journal.new_moves

    def answers(self) -> list[Granted | Refused]:
        """The grants and refusals that the last event led to."""
        return self._board.journal.new_answers

    def costs(self, model: str) -> Costs:
        """What acts on `model`'s engine take, as far as it is known; to look at."""
        return self._board.engines[model].costs

    def learned_costs(self) -> dict[str, Costs]:
        """What acts take, of the engines that came to the end of one with the last event; to keep."""
        return self._learned

    def explain(self, model: str, now: float) -> Explanation:
        """Why `model`'s engine is where it is, and what was decided about it of late."""
        return explain(self._board, model, now)

    def outlook(self, model: str, now: float) -> str:
        """What a client that waits for `model` is told, in one line."""
        return outlook(self._board, model, now)

    def what_if(self, models: Sequence[str], now: float) -> WhatIf:
        """What it would take to have all of `models` up at once."""
        return what_if(self._board, models, now)

    def busy(self) -> set[str]:
        """The models whose engines have leases."""
        return {model for model, engine in self._board.engines.items() if engine.leases}

    def stopped_by_hand(self) -> dict[str, str]:
        """Who stopped which model, of those that stay stopped."""
        return dict(self._board.stopped_by)

    def pins(self) -> dict[str, bool]:
        """The models that a person has pinned, or unpinned, where the catalog says otherwise."""
        return dict(self._board.pins)

    def waiters(self, now: float) -> dict[str, tuple[Waiter, ...]]:
        """Who waits, by model, the longest wait first; of many only the first."""
        engines = self._board.wanted.values()
        return {one.model: waiters(self._board, one, now) for one in engines if one.queue}

    def misfits(self) -> dict[str, str]:
        """Why, by model, those cannot run that fit on no device of this machine even alone."""
        errors_of = {model: too_large(self._board, engine) for model, engine in self._board.engines.items()}
        return {model: error.message for model, error in errors_of.items() if error is not None}

    def why_not_sleep(self, model: str, level: int) -> errors.RotaError | None:
        """The error for a person who asks for it, if `model` cannot be put to sleep at `level` now."""
        return why_not_sleep(self._board, self._board.engines[model], level)

    def view(self, now: float) -> list[EngineView]:
        """All engines at this moment, in the order of the catalog."""
        return [view(self._board, engine, now) for engine in self._board.engines.values()]
