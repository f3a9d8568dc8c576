"""From the facts on the board to what the plan works with: who wants room, who could make it, what is there."""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from proxy.core import errors
from proxy.core.board import Board
from proxy.core.limits import RETRY_AFTER_WAIT_S
from proxy.core.offers import Candidate, Demand, Rung, Way
from proxy.core.roster import Engine
from proxy.core.states import EngineState

LEVELS = {1: Rung.LEVEL_1, 2: Rung.LEVEL_2}


def demand_of(board: Board, engine: Engine, now: float) -> Demand | None:
    """What `engine` needs to serve; None where strangers leave no room for it even if all engines went.

    None, too, while it may be in the midst of a restart by hand: its process comes by itself, or not at all.
    """
    if engine.stop_settles_at is not None:
        return None
    amounts, choices, needed = engine.needs.amounts, engine.needs.choices, board.start_bytes(engine)
    is_asleep = engine.state is EngineState.ASLEEP
    if is_asleep:
        choices, needed = (board.ledger.placings[engine.model].devices,), amounts.awake_bytes
    fitting = _fitting(board, choices, needed)
    if fitting:
        engine.blocked_since = None
        held = board.ledger.placings[engine.model].bytes if is_asleep else 0
        return _weighed(engine, Demand(engine.model, needed - held, fitting, enter_s=enter_s(engine)), board, now)
    if is_asleep and _fitting(board, engine.needs.choices, board.start_bytes(engine)):
        engine.is_asked, engine.rung = True, Rung.STOP
        engine.why = "strangers took its room while it slept; it starts on another device"
        return None
    engine.blocked_since = now if engine.blocked_since is None else engine.blocked_since
    if now - engine.blocked_since > board.limits.blocked_s:
        what = f"{engine.model} fits nowhere, since others hold the memory: {board.holders_of(engine)}"
        board.send_away(engine, errors.BlockedByOthers(what, retry_after_s=RETRY_AFTER_WAIT_S))
        engine.blocked_since = None  # who comes next is given its own moment of patience
    return None


def _weighed(engine: Engine, demand: Demand, board: Board, now: float) -> Demand:
    """`demand` with who waits for it, and since when."""
    since = engine.wanted_since()
    if since is None:
        return replace(demand, slack_s=inf, since=(now, 0), is_modest=True)
    return replace(
        demand,
        usual_s=usual_s(engine, now),
        gap_s=1.0 / max(engine.costs.rate(now), 1e-9),
        waits=engine.queue.waits(now),
        oldest_s=now - since[0],
        slack_s=board.limits.max_wait_s - (now - since[0]),
        since=since,
        is_pressing=engine.at_gate_since is not None,
    )


def enter_s(engine: Engine) -> float:
    """How long `engine` takes to come up from where it is, once there is room."""
    costs = engine.costs
    match engine.state:
        case EngineState.ASLEEP:
            return costs.expected_wake_s(engine.sleep_level)
        case EngineState.PARKED if engine.is_at_gate:
            return costs.expected_load_s
        case _:
            return costs.expected_start_s


def usual_s(engine: Engine, now: float) -> float:
    """How long `engine` will take to come up next time: from its sleep, where it may sleep."""
    costs = engine.costs
    return min((costs.expected_wake_s(level) for level in engine.may_sleep_at(now)), default=costs.expected_start_s)


def _fitting(board: Board, choices: tuple[tuple[str, ...], ...], needed: int) -> tuple[tuple[str, ...], ...]:
    room = {device: board.ledger.room_bytes(device) for device in board.ledger.devices}
    return tuple(choice for choice in choices if all(needed <= room[device] for device in choice))


def candidate_of(board: Board, engine: Engine, now: float) -> Candidate:
    """What `engine`, which is awake or asleep, could do to make room."""
    costs, is_asleep = engine.costs, engine.state is EngineState.ASLEEP
    stop = Way(Rung.STOP, leave_s=costs.expected_stop_s, return_s=costs.expected_start_s)
    resident_s = engine.needs.terms.min_residence_s
    return Candidate(
        model=engine.model,
        placing=board.ledger.placings[engine.model],
        ways=(stop,) if is_asleep else (*sleeps(board, engine, engine.may_sleep_at(now)), stop),
        rate=costs.rate(now) * engine.needs.terms.priority,
        drain_s=engine.drain_s(),
        idle_s=costs.expected_idle_s(len(engine.leases), now),
        waits=engine.queue.waits(now),
        oldest_s=0.0 if (oldest := engine.queue.oldest) is None else now - oldest.arrived_at,
        is_draining=engine.state is EngineState.DRAINING,
        is_asleep=is_asleep,
        is_resident=engine.state is EngineState.READY and now - engine.since < resident_s,
        last_used_at=engine.last_used_at,
        pinned_bytes=board.ledger.pinned.get(engine.model, 0),
        back_s=costs.expected_wake_s(engine.sleep_level) if is_asleep else 0.0,
    )


def sleeps(board: Board, engine: Engine, levels: Iterable[int]) -> list[Way]:
    """The ways to sleep at `levels`, in their order."""
    amounts, costs = engine.needs.amounts, engine.costs
    pins = max(0, amounts.sleep_host_bytes - board.ledger.pinned.get(engine.model, 0))
    return [
        Way(
            LEVELS[level],
            keeps_bytes=amounts.asleep_bytes,
            pins_bytes=pins if level == 1 else 0,
            leave_s=costs.expected_sleep_s(level),
            return_s=costs.expected_wake_s(level),
        )
        for level in levels
    ]


def coming_room(board: Board) -> dict[str, int]:
    """Bytes by device that are free, or will be when those have left who are leaving already."""
    room = {device: board.ledger.free_bytes(device) for device in board.ledger.devices}
    for engine in board.holders():
        if engine.state is EngineState.STOPPING or (engine.is_asked and engine.rung is Rung.STOP):
            stays_bytes = 0
        elif engine.state is EngineState.FALLING_ASLEEP or engine.is_asked:
            stays_bytes = engine.needs.amounts.asleep_bytes
        else:
            continue
        placing = board.ledger.placings[engine.model]
        for device in placing.devices:
            room[device] += placing.bytes - stays_bytes
    return room


def coming_host(board: Board) -> int:
    """Host bytes that sleepers may pin, when those have stopped who are stopping already."""
    stopping = (one for one in board.changing.values() if one.state is EngineState.STOPPING)
    return board.ledger.host_free_bytes + sum(board.ledger.pinned.get(one.model, 0) for one in stopping)
