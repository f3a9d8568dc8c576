"""What people ask for engines: a stop, a sleep, a pin. What a stop means for who comes next is in `stops`."""

from typing import assert_never

from proxy.core import stops
from proxy.core.board import Board
from proxy.core.journal import Cause
from proxy.core.may_sleep import why_not_sleep
from proxy.core.offers import RUNGS, Rung
from proxy.core.roster import Engine
from proxy.core.states import EngineState


def stop_asked(board: Board, engine: Engine, who: str, now: float, *, at_once: bool = False) -> None:
    """Drain it and stop it; it stays stopped. `at_once`: its requests are not waited for."""
    why = f"stopped {who}"
    match engine.state:
        case EngineState.READY | EngineState.DRAINING | EngineState.ASLEEP:
            engine.is_asked, engine.rung, engine.why = True, Rung.STOP, why
            if engine.state is EngineState.READY:
                board.move(engine, EngineState.DRAINING, now, why, Cause.BY_HAND)
            if at_once:
                board.stop(engine, now, why, at_once=True)
        case EngineState.PARKED | EngineState.STARTING | EngineState.FALLING_ASLEEP | EngineState.WAKING:
            board.stop(engine, now, why, at_once=at_once)
        case EngineState.STOPPED | EngineState.STOPPING | EngineState.FAILED:
            pass
        case _:
            assert_never(engine.state)
    stops.note(board, engine, who, now)


def pin_set(board: Board, engine: Engine, *, is_pinned: bool) -> None:
    """What a person says of it counts until he says otherwise; as the catalog has it, nothing need be kept."""
    board.pins.pop(engine.model, None)
    if is_pinned is not board.is_pinned(engine):
        board.pins[engine.model] = is_pinned


def sleep_asked(board: Board, engine: Engine, level: int, who: str, now: float) -> None:
    """Drain it and put it to sleep, if that can be."""
    if why_not_sleep(board, engine, level) is not None:
        return
    stops.undo(board, engine)  # the last word counts
    engine.is_asked, engine.rung = True, RUNGS[level]
    engine.why = f"asked to sleep, {who}"
    if engine.state is EngineState.READY:
        board.move(engine, EngineState.DRAINING, now, engine.why, Cause.BY_HAND)
