"""Begins what the plan has decided, as soon as it can be: at most one start, wake, sleep or stop on each device."""

from collections.abc import Collection
from dataclasses import dataclass

from proxy.core.board import Board
from proxy.core.demands import sleeps
from proxy.core.offers import Covered, Demand, Plan, Rung, Way
from proxy.core.reasons import why_leaves, why_up, why_wanted
from proxy.core.roster import Engine
from proxy.core.states import EngineState


@dataclass(slots=True)
class _Devices:
    """Which devices are taken in this round: by a transition, or by a demand that must have them next."""

    moving: set[str]
    claimed: set[str]


def park(board: Board, demands: Collection[Demand], now: float) -> None:
    """Have the processes of those who are to start next prepare while others still make room: one for each device.

    It takes host memory and no VRAM, so that it is done as soon as somebody waits, whether or not the swap is decided.
    """
    wanted = {demand.model for demand in demands}  # of the others, who are parked ahead, nobody stands in their way
    parked = sum(one.state is EngineState.PARKED and one.model in wanted for one in board.changing.values())
    for demand in demands:
        if parked >= len(board.ledger.devices) or not board.limits.overlap:
            return
        engine = board.engines[demand.model]
        is_absent = engine.state in (EngineState.STOPPED, EngineState.FAILED)
        if is_absent and engine.at_gate_since is None and not demand.is_modest:
            board.park(engine, now, f"{why_wanted(demand)}; it prepares until there is room")
            parked += 1


def begin_transitions(board: Board, decided: Plan, now: float) -> None:
    """Start or wake what fits already, and send down who has drained."""
    leaving = [one for one in board.holders() if _may_go_down(one, decided)]
    if not leaving and not decided.covered:
        return
    devices = _Devices(board.moving_devices(), set())
    for one in decided.covered:
        wanted, engine = set(one.devices), board.engines[one.demand.model]
        if wanted & (devices.moving | devices.claimed):
            devices.claimed |= wanted  # or another start on one of them could keep it waiting for ever
        elif all(one.demand.bytes <= board.ledger.free_bytes(device) for device in one.devices):
            devices.moving |= wanted
            _bring_up(board, engine, one, now)
            continue
        elif one.demand.is_due or any(wanted & set(board.ledger.placings[other.model].devices) for other in leaving):
            devices.claimed |= wanted  # it is due, or its victims have drained: no later start may hold them up
    for engine in leaving:
        own = set(board.ledger.placings[engine.model].devices)
        if not own & devices.moving and (way := _way_now(board, engine)) is not None:
            devices.moving |= own
            if engine.state is EngineState.ASLEEP and not engine.is_asked:
                engine.why = why_leaves(board, decided, engine, now)
            board.go_down(engine, way, now)


def _may_go_down(engine: Engine, decided: Plan) -> bool:
    if engine.state is EngineState.ASLEEP:
        return engine.is_asked or engine.model in decided.victims
    return engine.state is EngineState.DRAINING and not engine.leases


def _bring_up(board: Board, engine: Engine, covered: Covered, now: float) -> None:
    why = why_up(board, covered)
    if engine.state is EngineState.ASLEEP:
        board.wake(engine, now, why)
    else:
        board.start(engine, covered.devices, now, why)


def _way_now(board: Board, engine: Engine) -> Way | None:
    """How `engine` goes down at this moment; None while the host memory for it is not free yet."""
    if engine.state is EngineState.ASLEEP or engine.rung in (None, Rung.STOP):
        return Way(Rung.STOP)
    levels = engine.needs.sleep_levels  # the rung was chosen when it was decided, or by a person
    way = next((way for way in sleeps(board, engine, levels) if way.rung is engine.rung), Way(Rung.STOP))
    if way.pins_bytes and way.pins_bytes > board.ledger.host_free_bytes:
        engine.is_asked = False  # what a person asked for cannot be now; the plan goes on deciding
        return None
    return way
