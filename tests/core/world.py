"""A scheduler in a small world: GiB for bytes, a clock that stands still, the invariants after each event."""

from proxy.core.limits import Limits
from proxy.core.messages import Command, Event, Tick
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import HOLDS_VRAM, EngineState

GIB = 2**30
LIMITS = Limits(max_wait_s=100, cool_down_s=10)


class World:
    """Models by name with their GiB, on one device of 40 GiB unless said otherwise."""

    def __init__(self, capacity: float = 40, start_timeout_s: float = 60, **models: float) -> None:
        needs = {name: EngineNeeds(round(gib * GIB), start_timeout_s) for name, gib in models.items()}
        self.scheduler = Scheduler(round(capacity * GIB), needs, LIMITS)
        self.now = 0.0

    def feed(self, *events: Event) -> list[Command]:
        """Feed the events in turn. Returns the commands of the last one."""
        commands: list[Command] = []
        for event in events:
            commands = self.scheduler.handle(event, self.now)
            self.check()
        return commands

    def after(self, seconds: float, event: Event | None = None) -> list[Command]:
        """Let time pass, then feed the event, or a Tick."""
        self.now += seconds
        return self.feed(event or Tick())

    def state(self, model: str) -> EngineState:
        return self.scheduler.states()[model]

    def reserved(self) -> dict[str, float]:
        return {model: amount / GIB for model, amount in self.scheduler.ledger.reservations.items()}

    def check(self) -> None:
        states = self.scheduler.states()
        holders = {model for model, state in states.items() if state in HOLDS_VRAM}
        assert set(self.scheduler.ledger.reservations) == holders
        assert self.scheduler.ledger.free_bytes >= 0
