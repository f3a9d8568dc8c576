"""What if: would these models fit together, where would they go, who would leave, and how long would it take?

Nothing is changed. The same plan is made as for real demands; what a person asks about is not weighed against others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, permutations

from catalog.spec import GIB
from proxy.core.board import Board
from proxy.core.demands import SLEEPS, candidate_of, coming_host, coming_room, enter_s, fitting, needed_by, room_of
from proxy.core.fits import holders_of, too_large
from proxy.core.offers import Covered, Demand, Plan, Way
from proxy.core.placement import MOST_PLANNED, plan
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, AWAKE, EngineState

MOST_ORDERS = 120
"""So many orders are tried where the first, the largest first, does not fit: all of five models."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """An engine that would make room: how, what that frees on each of its devices, and in how many seconds."""

    model: str
    how: str
    frees_bytes: int
    in_s: float


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one of the models would be, by the devices' ids and `names`, and when: in `ready_in_s`, 0 if it is there.

    `is_learned` where acts like these have been seen here, else the figure is from priors. `why_not` says what is in
    the way; then `devices` is empty.
    """

    model: str
    state: EngineState
    devices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    bytes: int = 0
    ready_in_s: float = 0.0
    is_learned: bool = True
    leaving: tuple[Leaving, ...] = ()
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer: `fits` is whether all can be up at once; `ready_in_s` is when the last of them would be."""

    fits: bool
    ready_in_s: float
    seats: tuple[Seat, ...]


def what_if(board: Board, models: Sequence[str], now: float) -> WhatIf:
    """What it would take to have all of `models` up at once."""
    asked = [board.engines[model] for model in dict.fromkeys(models)]
    seats = {one.model: _seat_there(board, one, now) for one in asked if _is_there(one)}
    demands: list[Demand] = []
    for one in asked:
        if one.model not in seats:
            demand = _demand(board, one)
            if isinstance(demand, Demand):
                demands.append(demand)
            else:
                seats[one.model] = demand
    best = _best_plan(board, demands, set(seats) | {one.model for one in demands}, now)
    clocks: dict[str, float] = {}
    for covered in best.covered:
        seats[covered.demand.model] = _seat_planned(board, covered, clocks)
    for demand in demands:
        if demand.model not in seats:
            seats[demand.model] = _misfit(board, board.engines[demand.model], _short(board, demand))
    told = tuple(seats[one.model] for one in asked)
    return WhatIf(all(one.why_not is None for one in told), max((one.ready_in_s for one in told), default=0.0), told)


def remaining_s(engine: Engine, now: float) -> float:
    """How long the start or wake that is under way will still take."""
    if engine.state is EngineState.WAKING:
        return max(0.0, engine.costs.expected_wake_s(engine.sleep_level) - (now - engine.since))
    if engine.state is EngineState.STARTING and engine.is_gate_open:
        if engine.phase is not None:
            name, since = engine.phase
            if (rest_s := engine.costs.expected_rest_s(name, now - since)) is not None:
                return rest_s
        return max(0.0, engine.costs.expected_load_s - (now - engine.gate_opened_at))
    return max(0.0, engine.costs.expected_start_s - (now - engine.process_since))


def is_learned(engine: Engine) -> bool:
    """Whether what brings it up from where it is has been seen here before."""
    if engine.state in (EngineState.ASLEEP, EngineState.WAKING):
        return engine.sleep_level in engine.costs.wake_s
    return engine.costs.start_s is not None


def _is_there(engine: Engine) -> bool:
    is_leaving = engine.state is EngineState.DRAINING and engine.is_asked
    return engine.state in (*AWAKE, EngineState.STARTING, EngineState.WAKING) and not is_leaving


def _seat_there(board: Board, engine: Engine, now: float) -> Seat:
    placing = board.ledger.placings[engine.model]
    in_s = 0.0 if engine.state in AWAKE else remaining_s(engine, now)
    learned = engine.state in AWAKE or is_learned(engine)
    names = _names(board, placing.devices)
    return Seat(engine.model, engine.state, placing.devices, names, placing.bytes, in_s, learned)


def _demand(board: Board, engine: Engine) -> Demand | Seat:
    if (error := too_large(board, engine)) is not None:
        return _misfit(board, engine, error.message)
    choices, needed = needed_by(board, engine)
    held = engine.needs.amounts.asleep_bytes if engine.state in SLEEPS else 0
    if not (possible := fitting(room_of(board, engine), choices, needed)):
        return _misfit(board, engine, f"others hold what it needs: {holders_of(board, engine)}")
    return Demand(engine.model, needed - held, possible, enter_s=enter_s(engine), is_pressing=True)


def _best_plan(board: Board, demands: Sequence[Demand], asked: set[str], now: float) -> Plan:
    """The first of several orders in which all fit; the largest first is the likeliest."""
    candidates = [
        candidate_of(board, one, now)
        for one in board.holders()
        if (one.state in AWAKE or one.state is EngineState.ASLEEP)
        and one.model not in asked
        and not board.is_pinned(one)
    ]
    largest_first = sorted(demands[:MOST_PLANNED], key=lambda one: (len(one.choices), -one.bytes * len(one.choices[0])))
    best = Plan()
    for order in islice(permutations(largest_first), MOST_ORDERS):
        tried = plan(order, candidates, coming_room(board), coming_host(board))
        if len(tried.covered) > len(best.covered):
            best = tried
        if len(best.covered) == len(demands):
            break
    return best


def _seat_planned(board: Board, covered: Covered, clocks: dict[str, float]) -> Seat:
    """Its seat, when everybody goes down and comes up one after the other on each device (`clocks`, s from now)."""
    engine = board.engines[covered.demand.model]
    leaving = tuple(_leaving(board, model, way) for model, way in covered.eviction.ways.items())
    begins_s = max(clocks.get(device, 0.0) for device in covered.devices)
    prepares_s = 0.0
    if covered.eviction.ways and board.limits.overlap and engine.state in ABSENT and not engine.is_at_gate:
        prepares_s = engine.costs.prepare_s or 0.0
    ready_s = begins_s + max(covered.eviction.clear_s, prepares_s) + covered.demand.enter_s - prepares_s
    clocks.update(dict.fromkeys(covered.devices, ready_s))
    names, takes_bytes = _names(board, covered.devices), engine.needs.amounts.awake_bytes
    learned = is_learned(engine)
    return Seat(engine.model, engine.state, covered.devices, names, takes_bytes, ready_s, learned, leaving)


def _short(board: Board, demand: Demand) -> str:
    have = ", ".join(f"{one.name} has {one.capacity_bytes / GIB:.2f} GiB" for one in board.ledger.devices.values())
    return f"it does not fit beside the others: it needs {demand.bytes / GIB:.2f} GiB, and {have} for all models"


def _names(board: Board, devices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(board.ledger.devices[device].name for device in devices)


def _leaving(board: Board, model: str, way: Way) -> Leaving:
    engine = board.engines[model]
    frees_bytes = board.ledger.placings[model].bytes - way.keeps_bytes
    return Leaving(model, str(way.rung), frees_bytes, engine.drain_s() + way.leave_s)


def _misfit(board: Board, engine: Engine, why: str) -> Seat:
    return Seat(engine.model, engine.state, bytes=board.start_bytes(engine), is_learned=False, why_not=why)
