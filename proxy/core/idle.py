"""Sends down who has been idle for as long as its terms, or its last request, allow. What room they leave is free.

A sleep or a stop is begun only on devices where nothing else changes; nobody waits for them, so that they can wait.
"""

from math import isfinite

from proxy.core.board import Board
from proxy.core.demands import sleeps
from proxy.core.journal import Cause
from proxy.core.offers import Rung, Way
from proxy.core.reasons import why_idle
from proxy.core.roster import Engine
from proxy.core.states import EngineState


def send_down_idle(board: Board, now: float) -> None:
    """Begin the sleeps and stops that are due."""
    moving: set[str] | None = None
    for engine in board.holders():
        if (due := _due(board, engine, now)) is None:
            continue
        moving = board.moving_devices() if moving is None else moving
        own = set(board.ledger.placings[engine.model].devices)
        if own & moving:
            continue
        moving |= own
        way, limit_s = due
        why = why_idle(engine, limit_s, now)
        if engine.state is EngineState.READY:
            board.move(engine, EngineState.DRAINING, now, why, Cause.IDLE)
        engine.why = why
        board.go_down(engine, way, now)


def _due(board: Board, engine: Engine, now: float) -> tuple[Way, float] | None:
    """How `engine` goes down now, and the time that has run out; None if it stays."""
    terms = engine.needs.terms
    is_awake = engine.state is EngineState.READY
    if board.is_pinned(engine) or engine.leases or engine.queue or engine.is_asked:
        return None
    if not is_awake and engine.state is not EngineState.ASLEEP:
        return None
    idle_s = now - engine.last_used_at
    stop_s = terms.idle_stop_s if engine.keep_alive_s is None else engine.keep_alive_s
    if stop_s is not None and isfinite(stop_s) and idle_s >= stop_s:
        return Way(Rung.STOP), stop_s
    sleep_s = terms.idle_sleep_s if engine.keep_alive_s is None else None
    if is_awake and sleep_s is not None and idle_s >= sleep_s:
        for way in sleeps(board, engine, engine.may_sleep_at(now)):
            if way.pins_bytes <= board.ledger.host_free_bytes:
                return way, sleep_s
    return None
