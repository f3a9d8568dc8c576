r"""The states of an engine and the moves between them.

    STOPPED -> [PARKED ->] STARTING -> READY <-> DRAINING -> FALLING_ASLEEP -> ASLEEP -> WAKING -> READY
                  |          |          |          |              |             |         |
                  v          v          v          v              v             v         v
               STOPPING <---+----------+----------+--------------+-------------+---------+
                |     \
                v      v
             STOPPED  FAILED (cooling down) -> [PARKED ->] STARTING

An engine holds memory from the moment it is reserved (STARTING) until it has been seen free (end of STOPPING).
PARKED has a process that holds none: it imports what it needs, and waits at the gate while others make room.
FAILED goes back to STOPPED, unasked, when the catalog's entry that failed counts no more.
One that sleeps already when the proxy comes back is found so: STOPPED -> ASLEEP, in one move.
DRAINING goes back to READY when nobody needs its room any longer. ASLEEP goes no deeper than it is: vLLM takes a second
/sleep for a no-op, so the rung below is STOPPED.
"""

from enum import StrEnum


class EngineState(StrEnum):
    """Where an engine stands."""

    STOPPED = "stopped"
    PARKED = "parked"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FALLING_ASLEEP = "falling_asleep"
    ASLEEP = "asleep"
    WAKING = "waking"
    STOPPING = "stopping"
    FAILED = "failed"


_S = EngineState

MOVES: dict[EngineState, frozenset[EngineState]] = {
    _S.STOPPED: frozenset({_S.PARKED, _S.STARTING, _S.ASLEEP}),
    _S.PARKED: frozenset({_S.STARTING, _S.STOPPING}),
    _S.STARTING: frozenset({_S.READY, _S.STOPPING}),
    _S.READY: frozenset({_S.DRAINING, _S.STOPPING}),
    _S.DRAINING: frozenset({_S.READY, _S.FALLING_ASLEEP, _S.STOPPING}),
    _S.FALLING_ASLEEP: frozenset({_S.ASLEEP, _S.STOPPING}),
    _S.ASLEEP: frozenset({_S.WAKING, _S.STOPPING}),
    _S.WAKING: frozenset({_S.READY, _S.STOPPING}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.FAILED}),
    _S.FAILED: frozenset({_S.PARKED, _S.STARTING, _S.STOPPED}),
}

RUNS = frozenset({_S.PARKED, _S.STARTING, _S.READY, _S.DRAINING, _S.FALLING_ASLEEP, _S.ASLEEP, _S.WAKING})
"""A process of the engine should be there; if it is gone, that is news."""

HOLDS_VRAM = (RUNS - {_S.PARKED}) | {_S.STOPPING}
"""Exactly these have a reservation in the ledger; that of a parked engine which is ended is of no bytes."""

IN_TRANSITION = frozenset({_S.STARTING, _S.FALLING_ASLEEP, _S.WAKING, _S.STOPPING})
"""At most one of these per device: vLLM measures its share from device-wide free memory."""

CHANGING = IN_TRANSITION | {_S.PARKED, _S.FAILED}
"""These do not last: something ends them, or time does."""

AWAKE = frozenset({_S.READY, _S.DRAINING})
"""It serves, and may be asked to leave."""

ABSENT = frozenset({_S.STOPPED, _S.FAILED, _S.PARKED})
"""No memory, on any device; a start begins here."""


class Swap(StrEnum):
    """What an engine has to do before it can serve a request that meets it in its state."""

    NONE = "none"
    WAKE = "wake"
    START = "start"


def swap_from(state: EngineState | None) -> Swap:
    """What an engine in `state` has to do; None is an engine that there is not any more."""
    match state:
        case EngineState.READY | EngineState.DRAINING:
            return Swap.NONE
        case EngineState.ASLEEP | EngineState.WAKING | EngineState.FALLING_ASLEEP:
            return Swap.WAKE
        case _:
            return Swap.START


class IllegalMove(RuntimeError):
    """A bug: the table of moves does not have this one."""


def check_move(model: str, old: EngineState, new: EngineState) -> None:
    """Raises: IllegalMove."""
    if new not in MOVES[old]:
        raise IllegalMove(f"{model}: {old} -> {new}")
