"""A scheduler in a small world: GiB for bytes, a clock that stands still, the invariants after each event."""

from collections.abc import Mapping
from itertools import combinations

from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.limits import Limits
from proxy.core.messages import Command, Event, GateAsked, GateReached, OpenGate, Tick
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import HOLDS_VRAM, EngineState

GIB = 2**30
LIMITS = Limits(max_wait_s=50, queue_timeout_s=100, cool_down_s=10, overlap=False)
CARD = "card"


def gib(amount: float) -> int:
    return round(amount * GIB)


def device(name: str, capacity: float, reserve: float = 0) -> Device:
    return Device(name, name, DeviceKind.NVIDIA, gib(capacity + reserve), gib(capacity))


def amounts(awake: float, asleep: float = 0, host: float = 0, peak: float = 0) -> Amounts:
    return Amounts(gib(max(peak, awake)), gib(awake), gib(asleep), gib(host))


def needs(
    taken: Amounts, devices: Mapping[str, float], count: int = 1, levels: tuple[int, ...] = (), timeout_s: float = 60
) -> EngineNeeds:
    return EngineNeeds(taken, tuple(combinations(devices, count)), timeout_s, levels)


class World:
    """Models by name with their GiB, on one card of 40 GiB unless said otherwise. None of them sleeps.

    `is_quick`: a process that asks at the gate has nothing to prepare, and so has reached it.
    """

    is_quick = True

    def __init__(
        self, capacity: float = 40, start_timeout_s: float = 60, limits: Limits = LIMITS, **models: float
    ) -> None:
        self.set_up(
            {CARD: capacity},
            {name: needs(amounts(each), {CARD: capacity}, timeout_s=start_timeout_s) for name, each in models.items()},
            limits,
        )

    def set_up(
        self,
        devices: Mapping[str, float],
        models: Mapping[str, EngineNeeds],
        limits: Limits = LIMITS,
        host: float = 0,
        reserve: float = 0,
    ) -> None:
        """Any devices, any needs."""
        cards = [device(name, capacity, reserve) for name, capacity in devices.items()]
        self.scheduler = Scheduler(cards, models, limits, host_bytes=gib(host))
        self.now = 0.0

    def feed(self, *events: Event) -> list[Command]:
        """Feed the events in turn. Returns the commands of the last one."""
        commands: list[Command] = []
        for event in events:
            commands = self.scheduler.handle(event, self.now)
            if self.is_quick and isinstance(event, GateAsked):
                commands += self.scheduler.handle(GateReached(event.model), self.now)
            self.check()
        return commands

    def after(self, seconds: float, event: Event | None = None) -> list[Command]:
        """Let time pass, then feed the event, or a Tick."""
        self.now += seconds
        return self.feed(event or Tick())

    def state(self, model: str) -> EngineState:
        return self.scheduler.states()[model]

    def reserved(self) -> dict[str, float]:
        return {model: placing.bytes / GIB for model, placing in self.scheduler.ledger.placings.items()}

    def places(self) -> dict[str, str]:
        return {model: "+".join(placing.devices) for model, placing in self.scheduler.ledger.placings.items()}

    def opened(self, model: str) -> OpenGate:
        """The command that lets the process at the gate in."""
        placing = self.scheduler.ledger.placings[model]
        awake = next(view.amounts.awake_bytes for view in self.scheduler.view(self.now) if view.model == model)
        return OpenGate(model, placing.devices, awake)

    def check(self) -> None:
        states, ledger = self.scheduler.states(), self.scheduler.ledger
        assert set(ledger.placings) == {model for model, state in states.items() if state in HOLDS_VRAM}
        assert all(ledger.reserved_bytes(name) <= known.capacity_bytes for name, known in ledger.devices.items())
        assert ledger.host_free_bytes >= 0


class SlowWorld(World):
    """Its processes have something to prepare: the test says when they have reached the gate."""

    is_quick = False
