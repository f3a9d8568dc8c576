"""What people ask for engines: a stop, a sleep. What a stop means for who comes next is in `stops`."""

from typing import assert_never

from proxy.core import stops
from proxy.core.board import Board
from proxy.core.journal import Cause
from proxy.core.may_sleep import why_not_sleep
from proxy.core.offers import RUNGS, Rung
from proxy.core.roster import Engine
from proxy.core.states import EngineState


def stop_asked(board: Board, engine: Engine, who: str, now: float) -> None:
    """Drain it and stop it; it stays stopped."""
    why = f"stopped {who}"
    match engine.state:
        case EngineState.READY | EngineState.DRAINING | EngineState.ASLEEP:
            engine.is_asked, engine.rung, engine.why = True, Rung.STOP, why
            if engine.state is EngineState.READY:
                board.move(engine, EngineState.DRAINING, now, why, Cause.BY_HAND)
        case EngineState.PARKED | EngineState.STARTING | EngineState.FALLING_ASLEEP | EngineState.WAKING:
            board.stop(engine, now, why)
        case EngineState.STOPPED | EngineState.STOPPING | EngineState.FAILED:
            pass
        case _:
            assert_never(engine.state)
    stops.note(board, engine, who, now)


def sleep_asked(board: Board, engine: Engine, level: int, who: str, now: float) -> None:
    """Drain it and put it to sleep, if that can be."""
    if why_not_sleep(board, engine, level) is not None:
        return
    stops.undo(board, engine)  # the last word counts
    engine.is_asked, engine.rung = True, RUNGS[level]
    engine.why = f"asked to sleep, {who}"
    if engine.state is EngineState.READY:
        board.move(engine, EngineState.DRAINING, now, engine.why, Cause.BY_HAND)
