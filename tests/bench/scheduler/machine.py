"""A machine in simulated time for the baselines: engines that start, sleep and serve, and what that costs.

Whatever happens, a baseline's `step` looks at the machine and acts on it. The rules are the same for all of them and
for Rota: one act at a time on a device, an engine goes down only when nobody uses it, memory is free when the act that
frees it is over, and an engine serves `concurrency` requests at once, more of them wait inside it.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.bench.scheduler.trace import ModelCosts, Outcome, Request, Trace


class State(Enum):
    """Where an engine stands."""

    OFF = auto()
    ASLEEP = auto()
    RISING = auto()
    UP = auto()
    FALLING = auto()


@dataclass(slots=True)
class Engine:
    """One model's engine."""

    model: str
    costs: ModelCosts
    state: State = State.OFF
    device: str = ""
    level: int = 0
    running: int = 0
    inside: deque[Request] = field(default_factory=deque)
    """Those who wait inside it, beyond its concurrency."""
    used_at: float = 0.0
    up_at: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return not self.running and not self.inside

    @property
    def held_gib(self) -> float:
        """What it holds on its device."""
        match self.state:
            case State.OFF:
                return 0.0
            case State.ASLEEP:
                return self.costs.asleep_gib
            case _:
                return self.costs.gib


class Machine:
    """All engines of one trace, in simulated time."""

    def __init__(self, trace: Trace, policy: str) -> None:
        self.world = trace.world
        self.engines = {name: Engine(name, costs) for name, costs in trace.world.models.items()}
        self.now = 0.0
        self.waiting: list[Request] = []
        """In the order of their arrival."""
        self.outcome = Outcome(policy, [0.0] * len(trace.requests))
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        for request in trace.requests:
            self.at(request.at_s, lambda request=request: self.waiting.append(request))  # type: ignore[misc]

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Have something done at that time."""
        self._number += 1
        heapq.heappush(self._agenda, (when_s, self._number, what))

    def run(self, step: Callable[[], None]) -> Outcome:
        """Play the trace to its end. Raises: RuntimeError if somebody is left waiting."""
        while self._agenda:
            self.now, _, what = heapq.heappop(self._agenda)
            what()
            step()
        if self.waiting or any(engine.inside for engine in self.engines.values()):
            raise RuntimeError(f"{self.outcome.policy} leaves {len(self.waiting)} requests waiting for ever")
        return self.outcome

    # --- what there is --------------------------------------------------------------------------------------------

    def free_gib(self, device: str) -> float:
        """What is free there."""
        held = sum(engine.held_gib for engine in self.engines.values() if engine.device == device)
        return self.world.devices_gib[device] - held

    def is_moving(self, device: str) -> bool:
        """Whether an act is under way there."""
        moving = (State.RISING, State.FALLING)
        return any(engine.state in moving and engine.device == device for engine in self.engines.values())

    def devices_of(self, engine: Engine) -> list[str]:
        """The devices that it may come up on: where it sleeps, or any."""
        return [engine.device] if engine.state is State.ASLEEP else list(self.world.devices_gib)

    def fitting(self, engine: Engine) -> str | None:
        """The device on which it fits now with the least left over."""
        needed = engine.costs.gib - engine.held_gib
        fit = [(self.free_gib(one), one) for one in self.devices_of(engine) if needed <= self.free_gib(one) + 1e-9]
        return min(fit)[1] if fit else None

    # --- acts -----------------------------------------------------------------------------------------------------

    def serve(self, request: Request) -> None:
        """Hand a request to its engine, which is up."""
        self.waiting.remove(request)
        engine = self.engines[request.model]
        engine.inside.append(request)
        self._fill(engine)

    def rise(self, engine: Engine, device: str) -> None:
        """Start or wake it on `device`, where it fits and nothing moves."""
        takes_s = engine.costs.wake_s[engine.level - 1] if engine.state is State.ASLEEP else engine.costs.start_s
        engine.state, engine.device = State.RISING, device
        self.outcome.swaps += 1
        self._take(takes_s, lambda: self._risen(engine))

    def fall(self, engine: Engine, needed_gib: float) -> None:
        """Put it to sleep, if that leaves `needed_gib` free and the host has room, or else stop it; it is idle."""
        engine.level = self._level(engine, needed_gib) if engine.state is State.UP else 0
        takes_s = engine.costs.sleep_s[engine.level - 1] if engine.level else engine.costs.stop_s
        engine.state = State.FALLING
        self._take(takes_s, lambda: self._fallen(engine))

    def _level(self, engine: Engine, needed_gib: float) -> int:
        would_be = self.free_gib(engine.device) + engine.costs.gib - engine.costs.asleep_gib
        pinned = sum(
            one.costs.host_gib for one in self.engines.values() if one.state is State.ASLEEP and one.level == 1
        )
        for level in engine.costs.sleep_levels:
            if would_be + 1e-9 >= needed_gib and (level == 2 or pinned + engine.costs.host_gib <= self.world.host_gib):
                return level
        return 0

    def _take(self, seconds: float, then: Callable[[], None]) -> None:
        self.outcome.lost_s += seconds
        self.at(self.now + seconds, then)

    def _risen(self, engine: Engine) -> None:
        engine.state, engine.up_at, engine.used_at = State.UP, self.now, self.now

    def _fallen(self, engine: Engine) -> None:
        engine.state = State.ASLEEP if engine.level else State.OFF
        if engine.state is State.OFF:
            engine.device = ""

    def _fill(self, engine: Engine) -> None:
        while engine.inside and engine.running < engine.costs.concurrency:
            request = engine.inside.popleft()
            self.outcome.waits_s[request.number] = self.now - request.at_s
            engine.running += 1
            engine.used_at = self.now
            self.at(self.now + request.service_s, lambda: self._served(engine))

    def _served(self, engine: Engine) -> None:
        engine.running -= 1
        engine.used_at = self.now
        self._fill(engine)
