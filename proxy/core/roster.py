"""One engine as the scheduler knows it: its state, who uses it, who waits for it. Facts only, no decisions."""

from dataclasses import dataclass, field
from math import isfinite

from proxy.core.costs import Costs
from proxy.core.devices import Amounts
from proxy.core.errors import RotaError
from proxy.core.methods import Method
from proxy.core.offers import Rung
from proxy.core.queue import Queue
from proxy.core.states import EngineState, check_move
from proxy.core.terms import NO_TERMS, Terms

MOST_FAILED_SLEEPS = 2
"""After so many failures of one level in a row the engine is not put to sleep at it any more, but by a person."""


@dataclass(frozen=True, slots=True)
class EngineNeeds:
    """What the scheduler must know of a model: what it takes, where it may run, how it may sleep.

    `choices` are the sets of devices, by id, that it may have; `sleep_levels` those it may be put to.
    """

    amounts: Amounts
    choices: tuple[tuple[str, ...], ...]
    start_timeout_s: float
    sleep_levels: tuple[int, ...] = ()
    terms: Terms = NO_TERMS

    @property
    def start_bytes(self) -> int:
        """What must be free on each device before it starts."""
        return max(self.amounts.peak_bytes, self.amounts.awake_bytes)

    @property
    def device_count(self) -> int:
        """On how many devices at once it runs."""
        return len(self.choices[0]) if self.choices else 1


@dataclass(frozen=True, slots=True)
class Crash:
    """An end that nobody asked for, of an engine that had started: when, what was seen, the end of its log then."""

    at: float
    what: str
    last_words: str = ""


@dataclass(frozen=True, slots=True)
class Successor:
    """What counts for an engine once its present process is gone: a changed entry of the catalog."""

    needs: EngineNeeds
    costs: Costs


@dataclass(slots=True)
class Engine:
    """One `vllm serve`, existing or not."""

    model: str
    needs: EngineNeeds
    state: EngineState = EngineState.STOPPED
    since: float = 0.0
    why: str = "nobody has asked for it yet"
    """What brought it into this state, for people."""
    last_used_at: float = 0.0
    leases: dict[int, float] = field(default_factory=dict)
    """Tickets that have been granted, with the time of that."""
    by_hand: set[int] = field(default_factory=set)
    """Those of them that a person has, who asked for the engine itself: they tell nothing of how long requests take."""
    queue: Queue = field(default_factory=Queue)
    at_gate_since: float | None = None
    """Since when a process waits that a person started: a demand to start, like a ticket."""
    is_due_at_gate: bool = False
    """Its process was told to start, and has not asked at the gate yet."""
    process_since: float = 0.0
    """When it was told to, or when what it last did at the gate ended."""
    is_at_gate: bool = False
    """Its process stands at the gate, with its imports done."""
    is_ahead: bool = False
    """That process was started before anybody waited."""
    import_s: float = 0.0
    """How long those who wait, wait for its imports too: until it came to the gate; 0 where that was done ahead."""
    method: Method = Method.PLAIN
    """How that process goes on, or has gone on, with its leave."""
    phase: tuple[str, float] | None = None
    """While STARTING: which phase of that is under way, and since when."""
    is_silent: bool = False
    """While STARTING: its log has said nothing for a long time."""
    is_doubted: bool = False
    """Its last start failed, by a method that a plain one may do without."""
    last_doubt: str | None = None
    """What was seen then, the last time."""
    park_after: float = 0.0
    """It is not parked ahead before then: its process ended as it was."""
    park_failures: int = 0
    """How often that was so, in a row."""
    keep_alive_s: float | None = None
    """How long the last request that said so wants it to stay without requests; None where none has."""
    refused_at: float | None = None
    """Since when a client is expected back that it could not have served in time; None if none is."""
    preload_until: float | None = None
    """Until when it is to be started as soon as there is free room, though nobody waits for it; None: it is not."""
    is_gate_open: bool = False
    """While STARTING: its process has been given leave."""
    gate_opened_at: float = 0.0
    is_stopped_at_once: bool = False
    """While STOPPING: with SIGKILL, so that it tells nothing of how long a stop takes."""
    is_adopted: bool = False
    """It was found running: how long its start took is not known."""
    rung: Rung | None = None
    """While DRAINING: where it goes from here, as last decided or as a person asked."""
    is_asked: bool = False
    """A person asked for that; no decision takes it back."""
    costs: Costs = field(default_factory=Costs)
    sleep_level: int = 0
    """While FALLING_ASLEEP, ASLEEP and WAKING: 1 or 2; 0 where nobody knows (adopted)."""
    failed_sleeps: dict[int, int] = field(default_factory=dict)
    """Failed sleeps and wakes in a row, by level."""
    escalations: int = 0
    """All of them, ever."""
    last_escalation: str | None = None
    crashes: int = 0
    """All of them, ever."""
    last_crash: Crash | None = None
    failure: RotaError | None = None
    failures: int = 0
    """Failed starts since it was last READY."""
    cool_until: float = 0.0
    stop_settles_at: float | None = None
    """When a stop with supervisorctl is taken for one that stays, if its process has not come back until then."""
    successor: Successor | None = None
    """The catalog's entry has changed: what counts as soon as no process of the old one is left."""
    is_removed: bool = False
    """The catalog does not have it any more: it goes for good, once those who came before are served."""
    blocked_since: float | None = None
    """Since when strangers leave it no room anywhere, even if all engines went."""

    def move(self, state: EngineState, now: float, why: str) -> None:
        """Enter `state`. Raises: IllegalMove, with nothing changed."""
        check_move(self.model, self.state, state)
        self.state, self.since, self.why = state, now, why

    @property
    def is_preload(self) -> bool:
        """Whether it is to be started ahead."""
        return self.preload_until is not None

    def may_sleep_at(self, now: float) -> list[int]:
        """The levels that are open to it, have not failed too often and are worth it, the preferred one first."""
        if not self.needs.sleep_levels:
            return []
        sound = list(self.needs.sleep_levels)
        if self.failed_sleeps:
            sound = [n for n in sound if self.failed_sleeps.get(n, 0) < MOST_FAILED_SLEEPS]
        return self.costs.worth_sleeping(sound, now)

    def is_cooling(self, now: float) -> bool:
        """Whether it failed so lately that it is not tried again yet."""
        return self.state is EngineState.FAILED and now < self.cool_until

    def retry_in_s(self, now: float) -> float | None:
        """When it will be tried again; None if at once, or not until somebody changes something."""
        wait_s = self.cool_until - now
        return wait_s if self.is_cooling(now) and isfinite(wait_s) else None

    def wanted_since(self) -> tuple[float, int] | None:
        """When the oldest demand for it began, then its ticket (0 at the gate); None where nobody wants it."""
        oldest = self.queue.oldest
        if self.at_gate_since is not None and (oldest is None or self.at_gate_since < oldest.arrived_at):
            return self.at_gate_since, 0
        return None if oldest is None else (oldest.arrived_at, oldest.number)

    def drain_s(self) -> float:
        """How long those whom it serves will take."""
        return self.costs.expected_drain_s(len(self.leases))
