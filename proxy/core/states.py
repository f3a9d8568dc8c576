r"""The states of an engine and the moves between them.

    STOPPED -> STARTING -> READY <-> DRAINING
                  |          |          |
                  v          v          v
                 STOPPING <-------------+
                  |     \
                  v      v
               STOPPED  FAILED (cooling down) -> STARTING

An engine holds memory from the moment it is reserved (STARTING) until it has been seen free (end of STOPPING).
DRAINING goes back to READY when nobody needs its room any longer.
"""

from enum import StrEnum


class EngineState(StrEnum):
    """Where an engine stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    FAILED = "failed"


MOVES: dict[EngineState, frozenset[EngineState]] = {
    EngineState.STOPPED: frozenset({EngineState.STARTING}),
    EngineState.STARTING: frozenset({EngineState.READY, EngineState.STOPPING}),
    EngineState.READY: frozenset({EngineState.DRAINING, EngineState.STOPPING}),
    EngineState.DRAINING: frozenset({EngineState.READY, EngineState.STOPPING}),
    EngineState.STOPPING: frozenset({EngineState.STOPPED, EngineState.FAILED}),
    EngineState.FAILED: frozenset({EngineState.STARTING}),
}

HOLDS_VRAM = frozenset({EngineState.STARTING, EngineState.READY, EngineState.DRAINING, EngineState.STOPPING})
"""Exactly these have a reservation in the ledger."""

RUNS = frozenset({EngineState.STARTING, EngineState.READY, EngineState.DRAINING})
"""A process of the engine should be there; if it is gone, that is news."""

IN_TRANSITION = frozenset({EngineState.STARTING, EngineState.STOPPING})
"""At most one of these per device: vLLM measures its share from device-wide free memory."""


class IllegalMove(RuntimeError):
    """A bug: the table of moves does not have this one."""


def check_move(model: str, old: EngineState, new: EngineState) -> None:
    """Raises: IllegalMove."""
    if new not in MOVES[old]:
        raise IllegalMove(f"{model}: {old} -> {new}")
