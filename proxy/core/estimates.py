"""How long a request would wait, at the least, by what has been learned on this machine. Pure; seconds.

Rule: only what has been seen here counts. Where nothing has, there is no estimate: nobody is refused on a guess.
"""

from proxy.core.board import Board
from proxy.core.roster import Engine
from proxy.core.states import AWAKE, EngineState
from proxy.core.whatif import is_learned, remaining_s, what_if


def served_in_s(board: Board, engine: Engine, priority: float, now: float) -> float | None:
    """How soon a request of `priority` that comes now can be served at best; None where it is not known."""
    if engine.state in AWAKE:
        is_full = len(engine.leases) >= engine.needs.terms.concurrency
        return next_turn_s(engine, priority) if is_full or engine.queue else 0.0
    return ready_in_s(board, engine, now)


def ready_in_s(board: Board, engine: Engine, now: float) -> float | None:
    """How soon `engine` will serve, 0 if it does; None where that is not known."""
    if engine.state in AWAKE:
        return 0.0
    if not is_learned(engine) or engine.is_cooling(now):
        return None
    if engine.state in (EngineState.STARTING, EngineState.WAKING):
        return remaining_s(engine, now)
    if engine.state in (EngineState.FALLING_ASLEEP, EngineState.STOPPING):
        return None
    seat = what_if(board, [engine.model], now).seats[0]
    return seat.ready_in_s if seat.why_not is None else None


def next_turn_s(engine: Engine, priority: float = 0.0) -> float | None:
    """When one more request has its turn at an engine that serves as many as it can, those before it first.

    Before it are all who wait with at least its priority.
    """
    if engine.costs.service_s is None:
        return None
    return engine.costs.service_s * (engine.queue.count_from(priority) + 1) / engine.needs.terms.concurrency
