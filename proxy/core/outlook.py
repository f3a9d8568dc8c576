"""What a client is told while it waits: where the engine stands and how long that still takes. Pure.

Rule: how long is said only where it has been learned on this machine.
"""

from proxy.core.board import Board
from proxy.core.estimates import served_in_s
from proxy.core.states import EngineState

_WORDS = {
    EngineState.READY: "it serves as many as it can",
    EngineState.DRAINING: "it makes room for another, and is wanted back",
    EngineState.PARKED: "its process is there, room is being made",
    EngineState.STOPPED: "stopped, room is being made",
    EngineState.ASLEEP: "asleep, room is being made",
    EngineState.FAILED: "it failed, and is tried again",
    EngineState.FALLING_ASLEEP: "falling asleep",
}


def outlook(board: Board, model: str, now: float) -> str:
    """In one line, as in "waiting for demo-claims: starting, about 14 s left"."""
    if (engine := board.engines.get(model)) is None:
        return f"waiting for {model}"
    told = f"waiting for {model}: {_WORDS.get(engine.state, engine.state)}"
    left_s = served_in_s(board, engine, engine.needs.terms.priority, now)
    return told if left_s is None else f"{told}, about {max(1, round(left_s))} s left"
