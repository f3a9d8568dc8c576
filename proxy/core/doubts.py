"""What becomes of a start that fails where a plain one might not. Pure.

A process that has imported vLLM ahead is quicker, by far where it forks. But if such a start fails, for a cause that is
not known, or hangs, nobody is told yet: a plain one follows for the same requests. Where that works, the model is
started plainly from then on, for as long as its vLLM and its flags stay what they are.
"""

from proxy.core import errors, parking
from proxy.core.board import Board
from proxy.core.diagnose import Lasts
from proxy.core.methods import Method
from proxy.core.roster import Engine
from proxy.core.states import EngineState


def is_plain(engine: Engine) -> bool:
    """Whether its next process is to do nothing ahead."""
    return engine.is_doubted or engine.costs.is_plain_only


def hangs(engine: Engine, now: float) -> bool:
    """Whether a start that is not plain has taken half of its time: the other half is for a plain one.

    With leave it may be slow as long as it says something; before, as it prepares, it says nothing.
    """
    if engine.method is Method.PLAIN or engine.is_at_gate or (engine.is_gate_open and not engine.is_silent):
        return False
    since = engine.gate_opened_at if engine.is_gate_open else engine.process_since
    return now - since > engine.needs.start_timeout_s / 2


def failed(board: Board, engine: Engine, error: errors.EngineStartFailed, now: float) -> None:
    """A start failed. Whoever waits is told, unless a plain one may do better."""
    if engine.state is EngineState.PARKED and parking.is_kept(board, engine) and not parking.is_asked_for(engine):
        parking.give_up(board, engine, error, now)
    elif engine.method is Method.PLAIN or error.lasts is not Lasts.UNKNOWN:
        engine.is_doubted = False
        board.fail(engine, error, now)
    else:
        engine.is_doubted = True
        engine.last_doubt = f"started by {engine.method}: {error.in_full}"
        what = f"its start by {engine.method} failed, a plain one follows: {error.message}"
        board.stop(engine, now, what.partition("\n")[0], at_once=True)


def succeeded(engine: Engine) -> None:
    """It is ready after a start."""
    if engine.is_doubted and engine.method is Method.PLAIN:
        engine.costs.is_plain_only = True
    engine.is_doubted, engine.park_failures, engine.park_after = False, 0, 0.0
