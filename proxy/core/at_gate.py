"""The processes that want to become engines: they ask at the gate, import what they can, reach it, or go away."""

from proxy.core import errors, messages, stops
from proxy.core.board import Board
from proxy.core.fits import too_large
from proxy.core.methods import Method
from proxy.core.roster import Engine
from proxy.core.states import RUNS, EngineState


def asked(board: Board, engine: Engine, now: float) -> None:
    """A process is there: the one that was told to start, or one that a person has started."""
    if (error := too_large(board, engine)) is not None:
        board.commands.append(messages.CloseGate(engine.model, error))
        return
    was_told_to = engine.is_due_at_gate
    engine.is_at_gate = engine.is_due_at_gate = False
    if not was_told_to:
        engine.process_since, engine.is_ahead, engine.import_s = now, False, 0.0
    if was_told_to and engine.state is EngineState.STOPPING:
        what = f"{engine.model} is being stopped: {engine.why}"
        board.commands.append(messages.CloseGate(engine.model, errors.GateRefused(what)))
        return
    if engine.state is EngineState.PARKED or (engine.state is EngineState.STARTING and not engine.is_gate_open):
        return
    stops.undo(board, engine)
    board.stand_at_gate(engine, now)
    if engine.state in RUNS:
        # Restarted by hand so fast that nobody saw the old process go: its memory must be seen free first.
        board.stop(engine, now, "restarted with supervisorctl")


def reached(board: Board, engine: Engine, event: messages.GateReached, now: float) -> None:
    """It has done what it can without leave. If memory is reserved already, it gets leave at once."""
    engine.method = event.method
    if event.host_bytes and event.method is not Method.PLAIN:
        engine.costs.parked_bytes = event.host_bytes
    if engine.state is EngineState.STARTING and not engine.is_gate_open:
        engine.costs.note_prepare(now - engine.process_since)
        engine.import_s = now - (engine.since if engine.is_ahead else engine.process_since)
        board.open_gate(engine, now)
    elif engine.state is EngineState.PARKED:
        engine.costs.note_prepare(now - engine.process_since)
        engine.import_s = 0.0 if engine.is_ahead else now - engine.process_since
        engine.is_at_gate = True
    elif engine.at_gate_since is not None:
        engine.import_s = now - engine.process_since
        engine.is_at_gate = True
    else:
        engine.is_at_gate = False


def left(board: Board, engine: Engine, now: float) -> None:
    """It went away, or has its answer."""
    engine.is_at_gate, engine.process_since = False, now
    board.stand_at_gate(engine, None)
