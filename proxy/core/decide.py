"""The one decision function: whatever happened, this is what follows from the facts on the board."""

from collections.abc import Iterable, Iterator
from itertools import islice

from proxy.core import parking, policy
from proxy.core.begin import begin_transitions, park
from proxy.core.board import Board
from proxy.core.demands import candidate_of, coming_host, coming_room, demand_of, fitting, needed_by, room_of, standings
from proxy.core.idle import send_down_idle
from proxy.core.journal import Cause
from proxy.core.offers import Demand, Plan, Standing
from proxy.core.placement import MOST_PLANNED, plan
from proxy.core.reasons import why_leaves
from proxy.core.renew import renew
from proxy.core.roster import Engine
from proxy.core.states import AWAKE, EngineState
from proxy.core.timeouts import end_what_took_too_long


def decide(board: Board, now: float) -> None:
    """Give the commands that follow from the facts.

    One request more where others wait already, or one less at an engine that stays busy, does not make a plan stale:
    what it weighs is seen with the next look at the whole, at the next tick at the latest.
    """
    end_what_took_too_long(board, now)
    if board.outdated:
        renew(board, now)
    _grant(board, board.wanted.values(), now)
    if not board.is_stale and not board.journal.new_moves:
        return
    ordered, decided, serving_again = _make_room(board, now)
    _grant(board, serving_again, now)
    begin_transitions(board, decided, now)
    park(board, ordered, now)
    send_down_idle(board, now)
    parking.keep(board, now)


def _grant(board: Board, engines: Iterable[Engine], now: float) -> None:
    ready = EngineState.READY
    for engine in [one for one in engines if one.state is ready]:
        while engine.queue and len(engine.leases) < engine.needs.terms.concurrency:
            board.grant(engine, now)


def _make_room(board: Board, now: float) -> tuple[list[Demand], Plan, list[Engine]]:
    """Plan afresh; let the victims drain and the others serve again. Returns them, behind the demands and the plan."""
    holders = board.holders()
    movable = [one for one in holders if (one.state in AWAKE or one.state is EngineState.ASLEEP) and not one.is_asked]
    draining = [one for one in movable if one.state is EngineState.DRAINING]
    if not board.wanted and not draining:
        board.plan = Plan()
        return [], board.plan, []
    candidates = [candidate_of(board, one, now) for one in movable if not board.is_pinned(one)]
    clear_s = max((one.drain_s + one.ways[0].leave_s for one in candidates if not one.is_asleep), default=0.0)
    room = room_of(board)
    standing = standings(board, room, clear_s, now)
    first = _first(board, standing, clear_s)
    ordered = [demand_of(board, one, room, now, is_due=is_due) for one, is_due in first]
    decided = board.plan = plan(ordered, candidates, coming_room(board), coming_host(board))
    board.left_for |= {victim: one.demand.model for one in decided.covered for victim in one.eviction.ways}
    for engine in movable:
        if (way := decided.victims.get(engine.model)) is not None and engine.state in AWAKE:
            engine.rung = way.rung
            if engine.state is EngineState.READY:
                board.move(engine, EngineState.DRAINING, now, why_leaves(board, decided, engine, now), Cause.ROOM)
    serving_again = [engine for engine in draining if engine.model not in decided.victims]
    for engine in serving_again:
        engine.rung = None
        board.move(engine, EngineState.READY, now, "nobody needs its room any longer")
    return ordered, decided, serving_again


def _fitting_free(
    board: Board, standing: Iterable[Standing], ordered: Iterable[tuple[Standing, bool]]
) -> Iterator[Standing]:
    """Those who are not among the first, and for whom nobody need leave: a free device is not left idle."""
    first, room = {one.model for one, _ in ordered}, coming_room(board)
    for one in standing:
        if one.model not in first and fitting(room, *needed_by(board, board.engines[one.model])):
            yield one


def _first(board: Board, standing: list[Standing], clear_s: float) -> list[tuple[Standing, bool]]:
    """Who is planned for, in order, and whether they are due; nobody comes before those whom he has left for."""
    ordered = policy.in_order(standing, clear_s, len(board.ledger.devices), MOST_PLANNED)
    if len(standing) > len(ordered):
        ordered += [(one, False) for one in islice(_fitting_free(board, standing, ordered), MOST_PLANNED)]
    wanting = {one.model for one in standing}
    board.left_for = {
        model: other
        for model, other in board.left_for.items()
        if other in wanting and board.engines[model].state is not EngineState.READY
    }
    if not board.left_for:
        return ordered
    places = {one.model: place for place, (one, _) in enumerate(ordered)}
    behind = {model: places.get(board.left_for.get(model, model), -1) for model in places}
    return sorted(
        ordered, key=lambda pair: (max(places[pair[0].model], behind[pair[0].model]), pair[0].model in board.left_for)
    )
