"""Stops by hand: what a person stopped stays stopped, once it is clear that it was not the first half of a restart.

supervisord does not say which of the two its client wants, so whoever asks for the model waits for a moment, and until
then nobody but a person starts it.
"""

from math import inf

from proxy.core import errors
from proxy.core.board import Board
from proxy.core.roster import Engine
from proxy.core.states import EngineState

SETTLES_S = 2.0
"""How long after the end of its process an engine may come back, so that its stop was a restart."""


def note(board: Board, engine: Engine, who: str, now: float) -> None:
    """A person stopped `engine` and means it: nobody gets it."""
    _stop(board, engine, who)
    engine.stop_settles_at = None
    if engine.state is EngineState.STOPPED:
        engine.why = f"stopped {who}"
    send_away(board, engine, now)


def note_unsettled(board: Board, engine: Engine, who: str) -> None:
    """A person stopped `engine`, or restarts it: its process ends."""
    _stop(board, engine, who)
    engine.stop_settles_at = inf


def note_ended(engine: Engine, now: float) -> None:
    """The processes of `engine` have ended: if it is a restart, the next one is about to come."""
    if engine.stop_settles_at is not None:
        engine.stop_settles_at = now + SETTLES_S


def undo(board: Board, engine: Engine) -> None:
    """A person starts `engine`, or it runs."""
    board.stopped_by.pop(engine.model, None)
    engine.stop_settles_at = None


def settle(board: Board, now: float) -> None:
    """Those whose processes have not come back stay stopped: send away who waits, or let them start it."""
    for model in list(board.stopped_by):
        engine = board.engines[model]
        if engine.stop_settles_at is None or now < engine.stop_settles_at:
            continue
        engine.stop_settles_at = None
        if not board.limits.wakes_after_stop_by_hand:
            send_away(board, engine, now)
        elif engine.queue:
            undo(board, engine)


def held_back(board: Board, engine: Engine) -> errors.RotaError | None:
    """The error for a request for `engine`, if a person stopped it and that is settled."""
    if (who := board.stopped_by.get(engine.model)) is None or engine.stop_settles_at is not None:
        return None
    return errors.StoppedByHand(
        f"{engine.model} was stopped {who}, and stays so until somebody starts it: "
        f"bin/manage_vllm.sh start {engine.model} (setting start_after_stop_by_hand)"
    )


def send_away(board: Board, engine: Engine, now: float) -> None:
    """Tell those who wait for `engine` that it is stopped, if it is."""
    if (error := held_back(board, engine)) is not None:
        board.send_away(engine, error, now)


def _stop(board: Board, engine: Engine, who: str) -> None:
    """What a person stopped is not started ahead either."""
    board.stopped_by[engine.model] = who
    board.load_no_more(engine)
