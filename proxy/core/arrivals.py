"""Requests: who is taken into the queue, who is refused at once, and what is left when one ends."""

from math import ceil, inf

from proxy.core import errors, messages, stops
from proxy.core.board import Board
from proxy.core.estimates import next_turn_s, served_in_s
from proxy.core.fits import too_large
from proxy.core.limits import LONGEST_RETRY_S, RETRY_AFTER_WAIT_S
from proxy.core.queue import Ticket
from proxy.core.roster import Engine
from proxy.core.states import EngineState


def arrived(board: Board, event: messages.RequestArrived, now: float) -> None:
    """Let the ticket wait, or refuse it at once."""
    engine = board.engines[event.model]
    is_by_hand = event.by_hand is not None
    if is_by_hand and too_large(board, engine) is None:
        engine.cool_until = now
        stops.undo(board, engine)
        if engine.is_asked and engine.state is not EngineState.STOPPING:
            engine.is_asked, engine.rung = False, None
    if board.limits.wakes_after_stop_by_hand and engine.stop_settles_at is None:
        stops.undo(board, engine)
    if (error := _why_not(board, engine, event)) is not None:
        board.refuse(engine, event.ticket, error, now)
        return
    if not is_by_hand:
        engine.costs.note_request(now)
    if (late := _too_late(board, engine, event, now)) is not None:
        board.refuse(engine, event.ticket, late, now)
        board.expect_back(engine, now, late.retry_after_s or 0.0)
        return
    priority = engine.needs.terms.priority * event.priority
    deadline_at = inf if event.deadline_s is None else now + event.deadline_s
    expires_at = min(now + board.limits.queue_timeout_s, deadline_at)
    ticket = Ticket(
        number=event.ticket,
        arrived_at=now,
        priority=priority,
        expires_at=expires_at,
        keep_alive_s=event.keep_alive_s,
        is_by_hand=is_by_hand,
        deadline_at=deadline_at,
        agent_type=event.agent_type,
        key=event.key,
    )
    board.enqueue(engine, ticket)
    is_first = len(engine.queue) == 1 and engine.state is not EngineState.READY
    board.is_stale = is_first or is_by_hand


def preload_asked(board: Board, engine: Engine) -> None:
    """It is to be there before anybody asks, unless a person stopped it or it fits nowhere."""
    if engine.model not in board.stopped_by and too_large(board, engine) is None:
        board.load_ahead(engine)


def ended(board: Board, ticket: int, now: float) -> None:
    """Forget a ticket wherever it stands. One that was granted while its client left is a lease like any other."""
    if (engine := board.holder_of.pop(ticket, None)) is None:
        return
    if ticket in engine.queue:
        board.leave_queue(engine, ticket)
    elif (granted_at := engine.leases.pop(ticket, None)) is not None:
        engine.last_used_at = now
        if ticket not in engine.by_hand:
            engine.costs.note_service(now - granted_at)
        engine.by_hand.discard(ticket)
    is_last = len(engine.queue) == 1 or not (engine.queue or engine.leases)
    board.is_stale = engine.state is not EngineState.READY or is_last


def _why_not(board: Board, engine: Engine, event: messages.RequestArrived) -> errors.RotaError | None:
    if (error := too_large(board, engine) or stops.held_back(board, engine)) is not None:
        return error
    return _queue_full(board, engine) if event.by_hand is None else None


def _queue_full(board: Board, engine: Engine) -> errors.QueueFull | None:
    most = engine.needs.terms.max_queue
    soon_s: float | None = None
    if len(engine.queue) >= most:
        what = f"{len(engine.queue)} requests wait for {engine.model} already, and {most} may (max_queue of the model)"
        soon_s = next_turn_s(engine)
    elif board.waiting >= board.limits.max_queue:
        what = f"{board.waiting} requests wait already, and {board.limits.max_queue} may (setting max_queue)"
    else:
        return None
    return errors.QueueFull(what, retry_after_s=min(LONGEST_RETRY_S, max(1.0, soon_s or RETRY_AFTER_WAIT_S)))


def _too_late(
    board: Board, engine: Engine, event: messages.RequestArrived, now: float
) -> errors.DeadlineTooShort | None:
    if (deadline_s := event.deadline_s) is None:
        return None
    expected_s = served_in_s(board, engine, engine.needs.terms.priority * event.priority, now)
    if expected_s is None or expected_s <= deadline_s:
        return None
    what = (
        f"{engine.model} is {engine.state}, and by what was learned here this request would be served in "
        f"{expected_s:.1f} s at the soonest; its client waits {deadline_s:.1f} s "
        "(X-Request-Deadline-S, or the client's own timeout)"
    )
    return errors.DeadlineTooShort(what, retry_after_s=float(ceil(expected_s)))
