"""From the facts on the board to what the plan works with: who wants room, who could make it, what is there."""

from collections.abc import Iterable, Mapping
from math import inf

from proxy.core import errors
from proxy.core.board import Board
from proxy.core.fits import holders_of
from proxy.core.limits import RETRY_AFTER_WAIT_S
from proxy.core.offers import RUNGS, Candidate, Demand, Rung, Standing, Way
from proxy.core.queue import Waits
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, EngineState

SLEEPS = frozenset({EngineState.ASLEEP, EngineState.FALLING_ASLEEP})
"""It has its devices, and comes up on no others."""

MAY_ENTER = ABSENT | {EngineState.ASLEEP}
"""Who is here and is wanted needs room to serve."""


def standings(board: Board, room: Mapping[str, int], clear_s: float, now: float) -> list[Standing]:
    """Where all stand who are wanted, hold no memory or sleep, and are left `room` by strangers and pinned engines."""
    # `clear_s` is what it takes to make room: who has a deadline must begin so much before it.
    # This is done for each of them at every decision: what is asked of the few is asked last.
    found, max_wait_s, least_room = [], board.limits.max_wait_s, min(room.values(), default=0)
    stopped = EngineState.STOPPED
    for engine in list(board.wanted.values()):  # who is told that it waits in vain is wanted no more
        state = engine.state
        if state not in MAY_ENTER or engine.is_asked or engine.stop_settles_at is not None:
            continue  # the last: it may be in the midst of a restart by hand, and comes by itself or not at all
        amounts = engine.needs.amounts
        is_easy = amounts.peak_bytes <= least_room and amounts.awake_bytes <= least_room and engine.needs.choices
        if is_easy:
            if engine.blocked_since is not None:
                engine.blocked_since = None
        elif not _is_possible(board, engine, room, now):
            continue
        waiting = engine.queue.standing(now)
        if waiting is not None and engine.at_gate_since is None and not engine.queue.has_person:
            since, weight, sum_s = waiting
            is_cold = state is stopped and not engine.is_at_gate
            entering_s = engine.costs.expected_start_s if is_cold else enter_s(engine)
            slack_s = min(since[0] + max_wait_s, engine.queue.soonest_deadline - clear_s - entering_s) - now
            found.append(Standing(engine.model, since, slack_s, entering_s, weight, sum_s))
        elif waiting is not None or engine.at_gate_since is not None or not engine.is_cooling(now):
            found.append(_by_hand(engine, max_wait_s, now))
    return found


def _by_hand(engine: Engine, max_wait_s: float, now: float) -> Standing:
    """Where it stands if somebody started it by hand, a client is expected back, or it is to be loaded ahead."""
    waits, since = engine.queue.waits(now), engine.wanted_since()
    if since is None and engine.refused_at is not None:
        back = (engine.refused_at, 0)
        return Standing(engine.model, back, inf, enter_s(engine), 1.0, now - engine.refused_at, is_expected=True)
    if since is None:
        return Standing(engine.model, (now, 0), inf, enter_s(engine), is_modest=True)
    slack_s = max_wait_s - (now - since[0])
    return Standing(engine.model, since, slack_s, enter_s(engine), waits.weight, waits.sum_s, is_pressing=True)


def needed_by(board: Board, engine: Engine) -> tuple[tuple[tuple[str, ...], ...], int]:
    """The devices that it may enter on, and the bytes that it will hold on each of them."""
    if engine.state in SLEEPS:
        own = board.ledger.placings[engine.model].devices
        return ((own,) if own else ()), engine.needs.amounts.awake_bytes
    return engine.needs.choices, board.start_bytes(engine)


def _is_possible(board: Board, engine: Engine, room: Mapping[str, int], now: float) -> bool:
    """Whether strangers and pinned engines leave `engine` room somewhere; who waits in vain is told."""
    room = _room_for(board, engine, room)
    if fitting(room, *needed_by(board, engine)):
        engine.blocked_since = None
        return True
    if engine.state is EngineState.ASLEEP and fitting(room, engine.needs.choices, board.start_bytes(engine)):
        engine.is_asked, engine.rung = True, Rung.STOP
        engine.why = "strangers took its room while it slept; it starts on another device"
        return False
    engine.blocked_since = now if engine.blocked_since is None else engine.blocked_since
    if now - engine.blocked_since > board.limits.blocked_s:
        what = f"{engine.model} fits nowhere, since others hold the memory: {holders_of(board, engine)}"
        board.send_away(engine, errors.BlockedByOthers(what, retry_after_s=RETRY_AFTER_WAIT_S), now)
        engine.blocked_since = None  # who comes next is given its own moment of patience
    return False


def demand_of(board: Board, standing: Standing, room: Mapping[str, int], now: float, *, is_due: bool) -> Demand:
    """What a model needs to serve, which stands there; it has been seen to be possible in `room`."""
    engine = board.engines[standing.model]
    choices, needed = needed_by(board, engine)
    held_bytes = board.ledger.placings[engine.model].bytes if engine.state is EngineState.ASLEEP else 0
    since = standing.since
    return Demand(
        engine.model,
        needed - held_bytes,
        fitting(_room_for(board, engine, room), choices, needed),
        enter_s=standing.enter_s,
        usual_s=0.0 if standing.is_modest else usual_s(engine, now),
        gap_s=0.0 if standing.is_modest else 1.0 / max(engine.costs.rate(now), 1e-9),
        waits=Waits(1.0, now - since[0], (now - since[0]) ** 2) if standing.is_expected else engine.queue.waits(now),
        oldest_s=0.0 if standing.is_modest else now - since[0],
        slack_s=standing.slack_s,
        since=since,
        is_pressing=standing.is_pressing,
        is_modest=standing.is_modest,
        is_expected=standing.is_expected,
        is_due=is_due,
    )


def enter_s(engine: Engine) -> float:
    """How long `engine` takes to come up from where it is, once there is room."""
    costs = engine.costs
    match engine.state:
        case EngineState.ASLEEP | EngineState.FALLING_ASLEEP:
            return costs.expected_wake_s(engine.sleep_level)
        case _ if engine.is_at_gate:
            return costs.expected_load_s
        case _:
            return costs.expected_start_s


def usual_s(engine: Engine, now: float) -> float:
    """How long `engine` will take to come up next time: from its sleep, where it may sleep."""
    costs = engine.costs
    return min((costs.expected_wake_s(level) for level in engine.may_sleep_at(now)), default=costs.expected_start_s)


def room_of(board: Board, engine: Engine | None = None) -> dict[str, int]:
    """Bytes by device that models may use together, beside strangers and pinned engines other than `engine`."""
    room = {device: board.ledger.room_bytes(device) for device in board.ledger.devices}
    for other in board.holders():
        if board.is_pinned(other) and other is not engine:
            placing = board.ledger.placings[other.model]
            for device in placing.devices:
                room[device] -= placing.bytes
    return room


def _room_for(board: Board, engine: Engine, room: Mapping[str, int]) -> Mapping[str, int]:
    """`room`, with what is its own where it is pinned itself."""
    is_own = board.is_pinned(engine) and engine.state is EngineState.ASLEEP
    return room_of(board, engine) if is_own else room


def fitting(room: Mapping[str, int], choices: tuple[tuple[str, ...], ...], needed: int) -> tuple[tuple[str, ...], ...]:
    """Those of `choices` with `needed` bytes of `room` on each device."""
    if needed <= min(room.values(), default=0):
        return choices
    return tuple([choice for choice in choices if all(needed <= room[device] for device in choice)])


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
        up_s=now - engine.since if engine.state is EngineState.READY else 0.0,
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
            RUNGS[level],
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
