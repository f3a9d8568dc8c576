"""The one decision function: whatever happened, this is what follows from the facts on the board."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core import errors, messages
from proxy.core.board import Board
from proxy.core.limits import RETRY_AFTER_WAIT_S
from proxy.core.placement import Candidate, Demand, Plan, Rung, Way, plan
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, AWAKE, EngineState

_LEVELS = {1: Rung.LEVEL_1, 2: Rung.LEVEL_2}


def decide(board: Board, now: float) -> None:
    """Give the commands that follow from the facts."""
    _end_what_took_too_long(board, now)
    _grant(board)
    decided = _make_room(board, now)
    _grant(board)
    _begin_transitions(board, decided, now)


def _end_what_took_too_long(board: Board, now: float) -> None:
    for engine in board.engines.values():
        in_state_s = now - engine.since
        match engine.state:
            case EngineState.STARTING if in_state_s > engine.needs.start_timeout_s:
                what = f"{engine.model} was not ready {engine.needs.start_timeout_s:.0f} s after its start"
                board.fail(engine, errors.EngineStartFailed(what), now)
            case EngineState.FALLING_ASLEEP | EngineState.WAKING if in_state_s > board.limits.sleep_timeout_s:
                board.escalate(engine, f"still {engine.state} after {board.limits.sleep_timeout_s:.0f} s", now)
            case _:
                pass
        if engine.is_cooling(now) and engine.failure is not None:
            board.reject_all(engine, engine.failure, retry_after_s=engine.retry_in_s(now))
        _end_long_waits(board, engine, now)


def _end_long_waits(board: Board, engine: Engine, now: float) -> None:
    limit_s = board.limits.max_wait_s
    late = [ticket for ticket, since in engine.waiting.items() if now - since > limit_s]
    is_gate_late = engine.at_gate_since is not None and now - engine.at_gate_since > limit_s
    if not late and not is_gate_late:
        return
    holders = f": {board.holders_of(engine)}" if engine.state in ABSENT else ""
    why = f"waited {limit_s:.0f} s for {engine.model}, which is {engine.state}{holders}"
    for ticket in late:
        board.reject(ticket, errors.WaitedTooLong(f"the request {why}", retry_after_s=RETRY_AFTER_WAIT_S))
    if is_gate_late:
        engine.at_gate_since = None
        board.commands.append(messages.CloseGate(engine.model, errors.WaitedTooLong(f"the start {why}")))


def _grant(board: Board) -> None:
    for engine in board.engines.values():
        if engine.state is EngineState.READY:
            for ticket in engine.waiting:
                engine.leases.add(ticket)
                board.commands.append(messages.Grant(ticket))
            engine.waiting.clear()


# --- who goes where, and who leaves -------------------------------------------------------------------------------


def _make_room(board: Board, now: float) -> Plan:
    """Plan afresh; let the victims drain and the others serve again."""
    engines = board.engines.values()
    wanting = [one for one in engines if one.state in ABSENT or one.state is EngineState.ASLEEP]
    wanted = [(since, one) for one in wanting if (since := one.wanted_since()) is not None and not one.is_asked]
    demands = []
    for _, engine in sorted(wanted, key=lambda pair: pair[0]):
        if (demand := _demand(board, engine, now)) is not None:
            demands.append(demand)
    movable = [one for one in engines if (one.state in AWAKE or one.state is EngineState.ASLEEP) and not one.is_asked]
    candidates = [_candidate(board, one, now) for one in movable]
    decided = plan(demands, candidates, _coming_room(board), _coming_host(board))
    for engine in movable:
        if engine.state not in AWAKE:
            continue
        if (way := decided.victims.get(engine.model)) is not None:
            engine.rung = way.rung
            if engine.state is EngineState.READY:
                engine.move(EngineState.DRAINING, now, _why(decided))
        elif engine.state is EngineState.DRAINING:
            engine.rung = None
            engine.move(EngineState.READY, now, "nobody needs its room any longer")
    return decided


def _demand(board: Board, engine: Engine, now: float) -> Demand | None:
    """What `engine` needs to serve; None where strangers leave no room for it even if all engines went."""
    amounts, choices, needed = engine.needs.amounts, engine.needs.choices, board.start_bytes(engine)
    is_asleep = engine.state is EngineState.ASLEEP
    if is_asleep:
        choices, needed = (board.ledger.placings[engine.model].devices,), amounts.awake_bytes
    fitting = _fitting(board, choices, needed)
    if fitting:
        engine.blocked_since = None
        held = board.ledger.placings[engine.model].bytes if is_asleep else 0
        return Demand(engine.model, needed - held, fitting)
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


def _fitting(board: Board, choices: tuple[tuple[str, ...], ...], needed: int) -> tuple[tuple[str, ...], ...]:
    room = {device: board.ledger.room_bytes(device) for device in board.ledger.devices}
    return tuple(choice for choice in choices if all(needed <= room[device] for device in choice))


def _candidate(board: Board, engine: Engine, now: float) -> Candidate:
    placing, pinned = board.ledger.placings[engine.model], board.ledger.pinned.get(engine.model, 0)
    is_asleep = engine.state is EngineState.ASLEEP
    return Candidate(
        model=engine.model,
        placing=placing,
        ways=(Way(Rung.STOP),) if is_asleep else (*_sleeps(board, engine, engine.may_sleep_at(now)), Way(Rung.STOP)),
        is_idle=not engine.leases,
        is_draining=engine.state is EngineState.DRAINING,
        is_asleep=is_asleep,
        last_used_at=engine.last_used_at,
        pinned_bytes=pinned,
    )


def _sleeps(board: Board, engine: Engine, levels: Iterable[int]) -> list[Way]:
    """The ways to sleep at `levels`, in their order."""
    amounts = engine.needs.amounts
    pins = max(0, amounts.sleep_host_bytes - board.ledger.pinned.get(engine.model, 0))
    return [
        Way(_LEVELS[level], keeps_bytes=amounts.asleep_bytes, pins_bytes=pins if level == 1 else 0) for level in levels
    ]


def _coming_room(board: Board) -> dict[str, int]:
    """Bytes by device that are free, or will be when those have left who are leaving already."""
    room = {device: board.ledger.free_bytes(device) for device in board.ledger.devices}
    for engine in board.engines.values():
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


def _coming_host(board: Board) -> int:
    stopping = (one for one in board.engines.values() if one.state is EngineState.STOPPING)
    return board.ledger.host_free_bytes + sum(board.ledger.pinned.get(one.model, 0) for one in stopping)


def _why(decided: Plan) -> str:
    return f"room for {', '.join(demand.model for demand, _ in decided.covered)}"


# --- one at a time on each device ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Devices:
    """Which devices are taken in this round: by a transition, or by a demand that must have them next."""

    moving: set[str]
    claimed: set[str]


def _begin_transitions(board: Board, decided: Plan, now: float) -> None:
    """Start or wake what fits already, and send down who has drained, at most one on each device."""
    leaving = [one for one in board.engines.values() if _may_go_down(one, decided)]
    devices = _Devices(board.moving_devices(), set())
    for demand, chosen in decided.covered:
        wanted = set(chosen)
        if wanted & (devices.moving | devices.claimed):
            devices.claimed |= wanted  # or another start on one of them could keep it waiting for ever
        elif all(demand.bytes <= board.ledger.free_bytes(device) for device in chosen):
            devices.moving |= wanted
            _bring_up(board, board.engines[demand.model], chosen, now)
        elif any(wanted & set(board.ledger.placings[one.model].devices) for one in leaving):
            devices.claimed |= wanted  # its victims have drained: their turn comes before any later start
    for engine in leaving:
        own = set(board.ledger.placings[engine.model].devices)
        if not own & devices.moving and (way := _way_now(board, engine)) is not None:
            devices.moving |= own
            if engine.state is EngineState.ASLEEP and not engine.is_asked:
                engine.why = _why(decided)
            board.go_down(engine, way, now)


def _may_go_down(engine: Engine, decided: Plan) -> bool:
    if engine.state is EngineState.ASLEEP:
        return engine.is_asked or engine.model in decided.victims
    return engine.state is EngineState.DRAINING and not engine.leases


def _bring_up(board: Board, engine: Engine, devices: tuple[str, ...], now: float) -> None:
    why = "started with supervisorctl" if engine.at_gate_since is not None else "a request wants it"
    if engine.state is EngineState.ASLEEP:
        board.wake(engine, now, why)
    else:
        board.start(engine, devices, now, why)


def _way_now(board: Board, engine: Engine) -> Way | None:
    """How `engine` goes down at this moment; None while the host memory for it is not free yet."""
    if engine.state is EngineState.ASLEEP or engine.rung in (None, Rung.STOP):
        return Way(Rung.STOP)
    levels = engine.needs.sleep_levels  # the rung was chosen when it was decided, or by a person
    way = next((way for way in _sleeps(board, engine, levels) if way.rung is engine.rung), Way(Rung.STOP))
    if way.pins_bytes and way.pins_bytes > board.ledger.host_free_bytes:
        engine.is_asked = False  # what a person asked for cannot be now; the plan goes on deciding
        return None
    return way
