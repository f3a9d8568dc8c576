"""One engine as the scheduler knows it: its state, who uses it, who waits for it. Facts only, no decisions."""

from dataclasses import dataclass, field
from math import isfinite

from proxy.core.errors import EngineStartFailed
from proxy.core.states import EngineState, check_move


@dataclass(frozen=True, slots=True)
class EngineNeeds:
    """What the scheduler must know of a model: bytes to reserve, seconds it may take to start."""

    memory_bytes: int
    start_timeout_s: float


@dataclass(frozen=True, slots=True)
class EngineView:
    """An engine at one moment, for /status and the lists of models. Times are seconds."""

    model: str
    state: EngineState
    in_state_s: float
    reserved_bytes: int
    memory_bytes: int
    leases: int
    waiting: int
    oldest_wait_s: float
    failure: str | None
    retry_in_s: float | None


@dataclass(slots=True)
class Engine:
    """One `vllm serve`, existing or not."""

    model: str
    needs: EngineNeeds
    state: EngineState = EngineState.STOPPED
    since: float = 0.0
    last_used_at: float = 0.0
    leases: set[int] = field(default_factory=set)
    waiting: dict[int, float] = field(default_factory=dict)
    """Tickets in the order of their arrival, with the time of it."""
    at_gate_since: float | None = None
    """A process waits at the gate: a demand to start, like a ticket."""
    is_gate_open: bool = False
    """While STARTING: its process has been given leave."""
    is_stop_asked: bool = False
    failure: EngineStartFailed | None = None
    failures: int = 0
    """Failed starts since it was last READY."""
    cool_until: float = 0.0

    def move(self, state: EngineState, now: float) -> None:
        """Enter `state`. Raises: IllegalMove, with nothing changed."""
        check_move(self.model, self.state, state)
        self.state, self.since = state, now

    def is_cooling(self, now: float) -> bool:
        """Whether it failed so lately that it is not tried again yet."""
        return self.state is EngineState.FAILED and now < self.cool_until

    def retry_in_s(self, now: float) -> float | None:
        """When it will be tried again; None if at once, or not until somebody changes something."""
        wait_s = self.cool_until - now
        return wait_s if self.is_cooling(now) and isfinite(wait_s) else None

    def wanted_since(self) -> tuple[float, int] | None:
        """When the oldest demand for it began, then its ticket (0 at the gate); None where nobody wants it."""
        ticket, since = next(iter(self.waiting.items()), (0, None))
        if self.at_gate_since is not None and (since is None or self.at_gate_since < since):
            return self.at_gate_since, 0
        return None if since is None else (since, ticket)

    def view(self, now: float, reserved_bytes: int) -> EngineView:
        """The engine at this moment."""
        wanted_since = next(iter(self.waiting.values()), now)
        return EngineView(
            model=self.model,
            state=self.state,
            in_state_s=now - self.since,
            reserved_bytes=reserved_bytes,
            memory_bytes=self.needs.memory_bytes,
            leases=len(self.leases),
            waiting=len(self.waiting),
            oldest_wait_s=now - wanted_since,
            failure=None if self.failure is None else self.failure.message,
            retry_in_s=self.retry_in_s(now),
        )
