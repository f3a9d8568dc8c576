"""Which engines have a process at the gate before anybody waits for them: the rung between stopped and asleep. Pure.

Such a process has imported vLLM and holds no VRAM: with leave its engine is up in a fraction of a cold start. What it
takes is host memory. Sleepers come first, who are back sooner still: the parked have what sleepers leave of the same
account, the most likely ones first, and give it up as soon as others need it. An import keeps a core busy for seconds,
so that there is one at a time, and none while an engine starts or wakes.
"""

from math import inf

from proxy.core import errors
from proxy.core.board import Board
from proxy.core.demands import MAY_ENTER
from proxy.core.fits import too_large
from proxy.core.limits import doubled_s
from proxy.core.methods import Method
from proxy.core.roster import Engine
from proxy.core.states import IN_TRANSITION, EngineState

PRIOR_BYTES = 5 * 2**27
"""0.6 GiB: measured with vLLM 0.32's CPU build, its imports done."""
AGAIN_S = 60.0
LONGEST_AGAIN_S = 3600.0
"""How long a process is left alone that ended while parked: at first, and at most."""
MOST_UNASKED = 4
"""With so many parked, none is added that nobody has asked for yet: of a large catalog most are seldom wanted."""
LIKELIER = 2.0
"""So many times as likely to be wanted must be who takes the place of another: an import is not free."""


def parked_bytes(engine: Engine) -> int:
    """The host memory that its process takes, or is taken to take, while it is parked."""
    return PRIOR_BYTES if engine.costs.parked_bytes is None else engine.costs.parked_bytes


def held_bytes(board: Board) -> int:
    """The host memory of all who are parked."""
    return sum(parked_bytes(one) for one in board.changing.values() if one.state is EngineState.PARKED)


def is_kept(board: Board, engine: Engine) -> bool:
    """Whether it stays parked though nobody waits for it."""
    return board.limits.parks and engine.model not in board.outdated


def is_asked_for(engine: Engine) -> bool:
    """Whether somebody waits for it, or was refused and comes back."""
    return engine.wanted_since() is not None or engine.refused_at is not None


def give_up(board: Board, engine: Engine, error: errors.EngineStartFailed, now: float) -> None:
    """Its process ended while it was parked, and nobody waited: that keeps nobody from a start, and is tried later."""
    again_s, what = _leave_alone(engine, now), error.message.partition("\n")[0]
    board.stop(engine, now, f"not parked again for {again_s:.0f} s: {what}", at_once=True)


def _leave_alone(engine: Engine, now: float) -> float:
    """For a while, each time twice as long; returns how long (s)."""
    engine.park_failures += 1
    again_s = doubled_s(AGAIN_S, engine.park_failures, LONGEST_AGAIN_S)
    engine.park_after = now + again_s
    return again_s


def vllm_changed(board: Board, engine: Engine, now: float) -> None:
    """What it has imported is of no use; where somebody waits for it, `bin/engine` sees that and starts it anew."""
    if engine.state is EngineState.PARKED and not is_asked_for(engine):
        board.stop(engine, now, "its vLLM was installed anew: it is to import that one")


def keep(board: Board, now: float) -> None:
    """Have those parked who may be, one after the other, and end those whose memory others need."""
    if not board.limits.parks or not board.has_ticked:
        return  # before the first tick an engine may run that is not known yet
    idle = [one for one in board.changing.values() if _is_idle(board, one)]
    for engine in idle:
        if engine.is_at_gate and engine.method is Method.PLAIN:
            give_up(board, engine, errors.EngineStartFailed("nothing could be imported ahead"), now)
    _make_room(board, idle, now)
    if board.is_host_short or _is_somebody_coming(board) or any(map(_is_busy, board.changing.values())):
        return
    able = [one for one in board.engines.values() if _may_park(board, one, now)]
    if not able:
        return
    engine = max(able, key=lambda one: _likelihood(one, now))  # of equals the first of the catalog
    if not _likelihood(engine, now) and sum(not _likelihood(one, now) for one in idle) >= MOST_UNASKED:
        return
    room_bytes = board.ledger.host_free_bytes - held_bytes(board)
    spare_bytes = inf if board.host_spare_bytes is None else board.host_spare_bytes
    if parked_bytes(engine) <= min(room_bytes, spare_bytes):
        board.park(engine, now, "parked ahead: with its imports done it is up sooner", is_ahead=True)
    elif idle:
        least = _least_likely(idle, now)
        would_fit = parked_bytes(engine) <= min(room_bytes, spare_bytes) + parked_bytes(least)
        if would_fit and _likelihood(engine, now) > LIKELIER * _likelihood(least, now):
            board.stop(least, now, f"its place at the gate is {engine.model}'s, which is likelier to be wanted")


def _is_idle(board: Board, engine: Engine) -> bool:
    """Parked, and nobody waits for it."""
    return engine.state is EngineState.PARKED and not _is_coming(board, engine)


def _is_coming(board: Board, engine: Engine) -> bool:
    """Whether it is to come up: it was asked for, or is preloaded and there is room."""
    return is_asked_for(engine) or any(one.demand.model == engine.model for one in board.plan.covered)


def _is_somebody_coming(board: Board) -> bool:
    """Neither a queue at an engine that serves, nor a preload for which there is no room, need a core for a start."""
    return any(one.state in MAY_ENTER and _is_coming(board, one) for one in board.wanted.values())


def _is_busy(engine: Engine) -> bool:
    """It starts, wakes, leaves, or imports."""
    return engine.state in IN_TRANSITION or (engine.state is EngineState.PARKED and not engine.is_at_gate)


def _least_likely(engines: list[Engine], now: float) -> Engine:
    return min(reversed(engines), key=lambda one: _likelihood(one, now))


def _likelihood(engine: Engine, now: float) -> float:
    """How often it is wanted, as far as is known: 0 for one that nobody has ever asked for."""
    costs = engine.costs
    before = 1.0 / costs.gap_s if costs.gap_s and costs.last_request_at is None else 0.0  # in an earlier proxy's life
    return (before or costs.rate(now)) * engine.needs.terms.priority


def _may_park(board: Board, engine: Engine, now: float) -> bool:
    return (
        engine.state is EngineState.STOPPED
        and engine.at_gate_since is None
        and engine.model not in board.stopped_by
        and engine.model not in board.outdated
        and not (engine.is_doubted or engine.costs.is_plain_only)
        and now >= engine.park_after
        and too_large(board, engine) is None
    )


def _make_room(board: Board, idle: list[Engine], now: float) -> None:
    """Sleepers have come, or the host itself is short: the least likely go first."""
    for engine in sorted(idle, key=lambda one: _likelihood(one, now)):
        if not board.is_host_short and held_bytes(board) <= board.ledger.host_free_bytes:
            return
        if engine.state is EngineState.PARKED:
            if board.is_host_short:
                _leave_alone(engine, now)  # who takes the memory may do so again
            board.stop(engine, now, "its host memory is needed")
