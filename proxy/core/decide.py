"""The one decision function: whatever happened, this is what follows from the facts on the board."""

from proxy.core import messages, policy
from proxy.core.begin import begin_transitions, park
from proxy.core.board import Board
from proxy.core.demands import candidate_of, coming_host, coming_room, demand_of
from proxy.core.offers import Demand, Plan
from proxy.core.placement import plan
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, AWAKE, EngineState
from proxy.core.timeouts import end_what_took_too_long


def decide(board: Board, now: float) -> None:
    """Give the commands that follow from the facts."""
    end_what_took_too_long(board, now)
    _grant(board, now)
    ordered, decided = _make_room(board, now)
    _grant(board, now)
    begin_transitions(board, decided, now)
    park(board, ordered, now)


def _grant(board: Board, now: float) -> None:
    for engine in list(board.wanted.values()):
        if engine.state is EngineState.READY:
            while engine.queue and len(engine.leases) < engine.needs.terms.concurrency:
                ticket = engine.queue.next(now)
                board.leave_queue(engine, ticket.number)
                engine.leases[ticket.number] = now
                board.commands.append(messages.Grant(ticket.number))


def _make_room(board: Board, now: float) -> tuple[list[Demand], Plan]:
    """Plan afresh; let the victims drain and the others serve again."""
    holders = board.holders()
    movable = [one for one in holders if (one.state in AWAKE or one.state is EngineState.ASLEEP) and not one.is_asked]
    wanting = [
        one
        for one in board.wanted.values()
        if (one.state in ABSENT or one.state is EngineState.ASLEEP) and not one.is_asked
    ]
    draining = [one for one in movable if one.state is EngineState.DRAINING]
    if not wanting and not draining:
        return [], Plan()
    demands = [demand for one in wanting if (demand := demand_of(board, one, now)) is not None]
    candidates = [candidate_of(board, one, now) for one in movable if not one.needs.terms.is_pinned]
    clear_s = max((one.drain_s + one.ways[0].leave_s for one in candidates if not one.is_asleep), default=0.0)
    ordered = policy.in_order(demands, clear_s, len(board.ledger.devices))
    decided = plan(ordered, candidates, coming_room(board), coming_host(board))
    for engine in movable:
        if (way := decided.victims.get(engine.model)) is not None and engine.state in AWAKE:
            engine.rung = way.rung
            if engine.state is EngineState.READY:
                board.move(engine, EngineState.DRAINING, now, _why(decided, engine))
    for engine in draining:
        if engine.model not in decided.victims:
            engine.rung = None
            board.move(engine, EngineState.READY, now, "nobody needs its room any longer")
    return ordered, decided


def _why(decided: Plan, engine: Engine) -> str:
    return f"room for {', '.join(one.demand.model for one in decided.covered if engine.model in one.eviction.ways)}"
