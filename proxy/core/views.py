"""An engine at one moment, as people and programs are shown it. Pure."""

from dataclasses import dataclass

from proxy.core.board import Board
from proxy.core.devices import Amounts
from proxy.core.doubts import is_plain
from proxy.core.fits import holders_of
from proxy.core.parking import parked_bytes
from proxy.core.phases import Phase
from proxy.core.roster import Engine
from proxy.core.states import EngineState
from proxy.core.terms import Terms

_AN_EARLIER_ONE = "an earlier start failed where a plain one did not"


@dataclass(frozen=True, slots=True)
class EngineView:
    """An engine at one moment, for /status and the lists of models. Times are seconds, sizes bytes on each device."""

    model: str
    state: EngineState
    in_state_s: float
    why: str
    sleep_level: int
    devices: tuple[str, ...]
    reserved_bytes: int
    pinned_bytes: int
    amounts: Amounts
    terms: Terms
    leases: int
    waiting: int
    oldest_wait_s: float
    at_gate_s: float | None
    """For how long a process that a person started has waited at the gate, and for what."""
    waits_for: str | None
    stopped_by: str | None
    is_pinned: bool
    """It never makes room: so says the catalog, or a person."""
    is_outdated: bool
    """It runs by an entry that the catalog does not have any more, and leaves as soon as it has drained."""
    failure: str | None
    is_cooling: bool
    """It failed, and whoever asks for it now is refused."""
    retry_in_s: float | None
    escalations: int
    last_escalation: str | None
    crashes: int
    last_crash: str | None
    last_crash_ago_s: float | None
    last_words: str
    """The end of its log at its crash, until it serves again."""
    requests_per_minute: float
    sleep_levels: tuple[int, ...]
    """Those that a person may put it to."""
    parked_bytes: int
    """The host memory that its process takes while it is parked."""
    starts_plainly: str | None
    """Why nothing is done ahead of its starts, where that is so."""
    phase: str | None
    """Which phase of its start is under way; None where it does not start."""
    last_start: dict[str, float]
    """Where the time of its last whole start went, in s, by phase."""


def view(board: Board, engine: Engine, now: float) -> EngineView:
    """`engine` at this moment."""
    placing = board.ledger.placings.get(engine.model)
    oldest, crash = engine.queue.oldest, engine.last_crash
    return EngineView(
        model=engine.model,
        state=engine.state,
        in_state_s=now - engine.since,
        why=engine.why,
        sleep_level=engine.sleep_level,
        devices=placing.devices if placing else (),
        reserved_bytes=placing.bytes if placing else 0,
        pinned_bytes=board.ledger.pinned.get(engine.model, 0),
        amounts=engine.needs.amounts,
        terms=engine.needs.terms,
        leases=len(engine.leases),
        waiting=len(engine.queue),
        oldest_wait_s=0.0 if oldest is None else now - oldest.arrived_at,
        at_gate_s=None if engine.at_gate_since is None else now - engine.at_gate_since,
        waits_for=None if engine.at_gate_since is None else _gate_waits_for(board, engine),
        stopped_by=board.stopped_by.get(engine.model),
        is_pinned=board.is_pinned(engine),
        is_outdated=engine.is_removed or engine.successor is not None,
        failure=None if engine.failure is None else engine.failure.in_full,
        is_cooling=engine.is_cooling(now),
        retry_in_s=engine.retry_in_s(now),
        escalations=engine.escalations,
        last_escalation=engine.last_escalation,
        crashes=engine.crashes,
        last_crash=None if crash is None else crash.what,
        last_crash_ago_s=None if crash is None else now - crash.at,
        last_words="" if crash is None else crash.last_words,
        requests_per_minute=60.0 * engine.costs.rate(now),
        sleep_levels=engine.needs.sleep_levels,
        parked_bytes=parked_bytes(engine) if engine.state is EngineState.PARKED and engine.is_at_gate else 0,
        starts_plainly=(engine.last_doubt or _AN_EARLIER_ONE) if is_plain(engine) else None,
        phase=_phase(engine),
        last_start=dict(engine.costs.phases),
    )


def _phase(engine: Engine) -> str | None:
    if engine.state is not EngineState.STARTING:
        return None
    if not engine.is_gate_open:
        return Phase.IMPORT
    return Phase.CONFIG if engine.phase is None else engine.phase[0]


def _gate_waits_for(board: Board, engine: Engine) -> str:
    """What the process at the gate of `engine` waits for, in words."""
    if engine.state is EngineState.STOPPING:
        return "the process before it has not ended, or its memory is not back"
    return holders_of(board, engine)
