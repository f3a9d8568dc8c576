"""What ends because it took too long: starts, sleeps and wakes, the waits of requests, at the gate too."""

from math import isfinite

from proxy.core import doubts, errors, messages, parking, stops
from proxy.core.board import Board
from proxy.core.estimates import served_in_s
from proxy.core.fits import holders_of
from proxy.core.limits import LONGEST_RETRY_S, RETRY_AFTER_WAIT_S
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, EngineState


def end_what_took_too_long(board: Board, now: float) -> None:
    """Give the commands that follow from the time alone."""
    for engine in list(board.changing.values()):
        _end_change(board, engine, now)
    stops.settle(board, now)
    for engine, ticket in board.expired(now):
        waited_s = now - engine.queue.arrived_at(ticket)
        why = f"the request waited {waited_s:.0f} s for {engine.model}, {_where_it_stands(board, engine)}"
        board.reject(ticket, errors.WaitedTooLong(why, retry_after_s=_again_in_s(board, engine, now)), now)
    for engine in list(board.wanted.values()):
        if engine.preload_until is not None and now > engine.preload_until:
            board.load_no_more(engine)
        if engine.at_gate_since is not None and now - engine.at_gate_since > board.limits.queue_timeout_s:
            why = f"the start waited {now - engine.at_gate_since:.0f} s, {_where_it_stands(board, engine)}"
            board.stand_at_gate(engine, None)
            board.commands.append(messages.CloseGate(engine.model, errors.WaitedTooLong(why)))


def _end_change(board: Board, engine: Engine, now: float) -> None:
    in_state_s = now - engine.since
    match engine.state:
        case EngineState.STARTING if in_state_s > engine.needs.start_timeout_s:
            what = f"{engine.model} was not ready {engine.needs.start_timeout_s:.0f} s after its start"
            doubts.failed(board, engine, errors.EngineStartFailed(what), now)
        case EngineState.STARTING if doubts.hangs(engine, now):
            what = f"{engine.model} {_what_hangs(engine, now)}"
            doubts.failed(board, engine, errors.EngineStartFailed(what), now)
        case EngineState.PARKED if doubts.hangs(engine, now) or _is_late_at_gate(engine, now):
            what = f"{engine.model} {_what_hangs(engine, now)}"
            doubts.failed(board, engine, errors.EngineStartFailed(what), now)
        case EngineState.PARKED if engine.model not in board.wanted and not parking.is_kept(board, engine):
            board.stop(engine, now, "nobody waits for it any longer")
        case EngineState.FALLING_ASLEEP | EngineState.WAKING if in_state_s > board.limits.sleep_timeout_s:
            board.escalate(engine, f"still {engine.state} after {board.limits.sleep_timeout_s:.0f} s", now)
        case _:
            pass
    if engine.is_cooling(now) and engine.failure is not None:
        board.reject_all(engine, engine.failure, now, retry_after_s=engine.retry_in_s(now))
        if not isfinite(engine.cool_until):
            board.load_no_more(engine)


def _is_late_at_gate(engine: Engine, now: float) -> bool:
    return not engine.is_at_gate and now - engine.process_since > engine.needs.start_timeout_s


def _what_hangs(engine: Engine, now: float) -> str:
    if engine.is_gate_open:
        return f"was not ready {now - engine.gate_opened_at:.0f} s after it had leave"
    return f"did not come to the gate within {now - engine.process_since:.0f} s"


def _again_in_s(board: Board, engine: Engine, now: float) -> float:
    """When to come back, by what was learned here of how long `engine` takes."""
    expected_s = served_in_s(board, engine, engine.needs.terms.priority, now)
    return RETRY_AFTER_WAIT_S if expected_s is None else min(LONGEST_RETRY_S, max(1.0, expected_s))


def _where_it_stands(board: Board, engine: Engine) -> str:
    holders = f": {holders_of(board, engine)}" if engine.state in ABSENT else ""
    return f"which is {engine.state}{holders}"
