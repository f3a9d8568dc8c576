"""Counts what the scheduler's engines did: acts by outcome and how long they took, evictions by cause. Pure.

Rule: it is fed with the moves that the journal tells of anyway, and decides nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from proxy.core.histogram import Histogram
from proxy.core.journal import Move
from proxy.core.states import EngineState

_S = EngineState

_ENDS: dict[tuple[EngineState, EngineState], tuple[str, str]] = {
    (_S.STARTING, _S.READY): ("start", "ok"),
    (_S.STARTING, _S.STOPPING): ("start", "failed"),
    (_S.WAKING, _S.READY): ("wake", "ok"),
    (_S.WAKING, _S.STOPPING): ("wake", "failed"),
    (_S.FALLING_ASLEEP, _S.ASLEEP): ("sleep", "ok"),
    (_S.FALLING_ASLEEP, _S.STOPPING): ("sleep", "failed"),
    (_S.STOPPING, _S.STOPPED): ("stop", "ok"),
    (_S.STOPPING, _S.FAILED): ("stop", "ok"),
}
"""The moves that end an act, with the act and how it ended."""


class Tally:
    """Totals since the proxy began."""

    def __init__(self) -> None:
        self.acts: Counter[tuple[str, str, str]] = Counter()
        """By model, act and outcome."""
        self.took: defaultdict[tuple[str, str], Histogram] = defaultdict(Histogram)
        """How long acts took that ended well, by model and act."""
        self.evictions: Counter[tuple[str, str]] = Counter()
        """Engines that were told to leave, by model and cause."""
        self._since: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Tally {sum(self.acts.values())} acts>"

    def note(self, moves: Iterable[Move]) -> None:
        """The moves that one event has led to."""
        for move in moves:
            if (end := _ENDS.get((move.old, move.new))) is not None:
                act, outcome = end
                self.acts[move.model, act, outcome] += 1
                if outcome == "ok" and move.model in self._since:
                    self.took[move.model, act].add(move.at_s - self._since[move.model])
            if move.new is EngineState.DRAINING:
                self.evictions[move.model, move.cause] += 1
            self._since[move.model] = move.at_s
