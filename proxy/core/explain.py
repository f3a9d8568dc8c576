"""Explains one engine: why it is where it is, what it waits for, what acts on it take, what was decided. Pure."""

from dataclasses import dataclass

from proxy.core.board import Board
from proxy.core.costs import Costs
from proxy.core.fits import holders_of
from proxy.core.journal import Told
from proxy.core.reasons import why_held_off, why_wanted
from proxy.core.roster import Engine
from proxy.core.states import ABSENT, EngineState


@dataclass(frozen=True, slots=True)
class Expected:
    """What acts on one engine are expected to take, in s, and how often it is asked for.

    `is_learned` is false where a cold start has not happened here: then a prior stands for it.
    """

    start_s: float
    stop_s: float
    sleep_s: dict[int, float]
    wake_s: dict[int, float]
    drain_s: float
    requests_per_minute: float
    is_learned: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an engine is in its state, what is in its way, and the last decisions about it, the newest first."""

    model: str
    state: EngineState
    in_state_s: float
    why: str
    waits_for: str | None
    expected: Expected
    last_start: dict[str, float]
    """Where the time of its last whole start went, in s, by phase."""
    log: tuple[Told, ...]


def explain(board: Board, model: str, now: float) -> Explanation:
    """Explain `model`'s engine. Raises: KeyError."""
    engine = board.engines[model]
    return Explanation(
        model=model,
        state=engine.state,
        in_state_s=now - engine.since,
        why=engine.why,
        waits_for=_waits_for(board, engine),
        expected=_expected(engine, engine.costs, now),
        last_start=dict(engine.costs.phases),
        log=tuple(board.journal.about(model, now)),
    )


def _waits_for(board: Board, engine: Engine) -> str | None:
    """What it wants and does not have yet; None where it wants nothing."""
    for held in board.plan.held_off:
        if held.demand.model == engine.model:
            return why_held_off(held)
    for covered in board.plan.covered:
        if covered.demand.model != engine.model:
            continue
        makers = [f"{model} is {board.engines[model].state}" for model in covered.eviction.ways]
        wanted = why_wanted(covered.demand)
        if makers:
            return f"{wanted}; room is being made for it: {', '.join(makers)}"
        if engine.model in board.wanted:
            devices = ", ".join(board.ledger.devices[one].name for one in covered.devices)
            return f"{wanted}; it is next on {devices}, where one engine at a time starts, sleeps or stops"
    residents = [one.model for one in board.holders() if one.needs.terms.min_residence_s and one is not engine]
    if engine.model in board.outdated and engine.model in board.wanted:
        return "it runs by an entry that the catalog has not any more: it goes first"
    if engine.model in board.wanted and (engine.state in ABSENT or engine.state is EngineState.ASLEEP):
        if residents:
            return f"{', '.join(residents)} may stay for min_residence_s; {holders_of(board, engine)}"
        return f"others come first, or change where it would go: {holders_of(board, engine)}"
    if engine.queue and engine.state is EngineState.READY:
        return f"it serves {len(engine.leases)} requests at once, which is all that it takes (concurrency)"
    return None


def _expected(engine: Engine, costs: Costs, now: float) -> Expected:
    levels = engine.needs.sleep_levels
    return Expected(
        start_s=costs.expected_start_s,
        stop_s=costs.expected_stop_s,
        sleep_s={level: costs.expected_sleep_s(level) for level in levels},
        wake_s={level: costs.expected_wake_s(level) for level in levels},
        drain_s=engine.drain_s(),
        requests_per_minute=60.0 * costs.rate(now),
        is_learned=costs.start_s is not None,
    )
