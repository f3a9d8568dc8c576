"""An outside that does what it is told, in whole seconds: for what comes of many requests in the long run."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.core import messages
from proxy.core.messages import Event
from tests.core.world import World

PREPARE_S = 3
LOAD_S = 5
STOP_S = 2
SLEEP_S = 1
WAKE_S = 2
SERVICE_S = 3
SWAP_S = SERVICE_S + STOP_S + PREPARE_S + LOAD_S
"""The longest: the last request ends, then a stop, then a cold start."""


@dataclass(slots=True)
class Outside:
    """Plays requests in `world`; waits are by ticket, from its arrival to its grant, in seconds."""

    world: World
    service_s: int = SERVICE_S
    waits: dict[int, float] = field(default_factory=dict)
    rejected: dict[int, Exception] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    """The models whose start or wake has begun, in order."""
    _due: dict[int, list[Event]] = field(default_factory=lambda: defaultdict(list))
    _arrived: dict[int, float] = field(default_factory=dict)

    def play(self, requests: Iterable[tuple[int, str]], until: int) -> None:
        """Let (second, model) come to pass, and all that follows from them, until nobody waits or it is `until`."""
        ordered = sorted(requests)
        for ticket, (second, model) in enumerate(ordered):
            self._due[second].append(messages.RequestArrived(ticket, model))
        for second in range(until):
            self.world.now = float(second)
            for event in [*self._due.pop(second, []), messages.Tick()]:
                self._feed(event)
            if len(self.waits) + len(self.rejected) == len(ordered):
                return

    def _feed(self, event: Event) -> None:
        if isinstance(event, messages.RequestArrived):
            self._arrived[event.ticket] = self.world.now
        for command in self.world.feed(event):
            match command:
                case messages.Grant(ticket):
                    self.waits[ticket] = self.world.now - self._arrived[ticket]
                    self._later(self.service_s, messages.RequestEnded(ticket))
                case messages.Reject(ticket, error):
                    self.rejected[ticket] = error
                case messages.StartEngine(model):
                    self.begun.append(model)
                    self._later(PREPARE_S, messages.GateAsked(model))
                case messages.OpenGate(model):
                    self._later(LOAD_S, messages.EngineReady(model))
                case messages.StopEngine(model):
                    self._forget(model)
                    self._later(STOP_S, messages.EngineStopped(model))
                case messages.SleepEngine(model):
                    self._later(SLEEP_S, messages.EngineAsleep(model))
                case messages.WakeEngine(model):
                    self.begun.append(model)
                    self._later(WAKE_S, messages.EngineReady(model))
                case messages.CloseGate(_):
                    pass

    def _forget(self, model: str) -> None:
        """Its process comes to no gate, and is not ready any more."""
        gone = (messages.GateAsked(model), messages.EngineReady(model))
        for second, events in self._due.items():
            self._due[second] = [event for event in events if event not in gone]

    def _later(self, seconds: int, event: Event) -> None:
        self._due[int(self.world.now) + seconds].append(event)
