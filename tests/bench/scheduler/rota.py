"""Rota's own scheduler in simulated time: its commands take as long as the trace says, and come back as events."""

import heapq

from proxy.core import messages
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.limits import Limits
from proxy.core.messages import Command, Event
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.bench.scheduler.trace import Outcome, Trace, World

GIB = 2**30
TICK_S = 0.5
NEVER_S = 1e9


def scheduler_of(world: World) -> Scheduler:
    """A scheduler for the trace's devices and models, with nothing learned yet."""
    devices = [
        Device(name, name, DeviceKind.NVIDIA, _bytes(gib), _bytes(gib)) for name, gib in world.devices_gib.items()
    ]
    choices = tuple((name,) for name in world.devices_gib)
    needs = {
        name: EngineNeeds(
            Amounts(_bytes(one.gib), _bytes(one.gib), _bytes(one.asleep_gib), _bytes(one.host_gib)),
            choices,
            start_timeout_s=NEVER_S,
            sleep_levels=one.sleep_levels,
            terms=Terms(concurrency=one.concurrency),
        )
        for name, one in world.models.items()
    }
    limits = Limits(max_wait_s=world.max_wait_s, queue_timeout_s=NEVER_S, max_queue=2**31)
    return Scheduler(devices, needs, limits, host_bytes=_bytes(world.host_gib))


class _Play:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.models = trace.world.models
        self.scheduler = scheduler_of(trace.world)
        self.outcome = Outcome("rota", [0.0] * len(trace.requests))
        self.agenda: list[tuple[float, int, Event]] = []
        self.number = 0
        self.waiting = 0
        self.next_tick_s = 0.0
        for request in trace.requests:
            self.after(request.at_s, messages.RequestArrived(request.number, request.model), 0.0)

    def after(self, seconds: float, event: Event, now: float) -> None:
        self.number += 1
        heapq.heappush(self.agenda, (now + seconds, self.number, event))

    def run(self) -> Outcome:
        while self.agenda:
            now, _, event = heapq.heappop(self.agenda)
            if isinstance(event, messages.RequestArrived):
                self.waiting += 1
            if isinstance(event, messages.Tick) and not self.waiting:
                continue
            for command in self.scheduler.handle(event, now):
                self.do(command, now)
            if self.waiting and self.next_tick_s <= now:
                self.next_tick_s = now + TICK_S
                self.after(TICK_S, messages.Tick(), now)
        if self.waiting:
            raise RuntimeError(f"rota leaves {self.waiting} requests waiting for ever: {self.scheduler!r}")
        return self.outcome

    def do(self, command: Command, now: float) -> None:
        match command:
            case messages.Grant(number):
                request = self.trace.requests[number]
                self.waiting -= 1
                self.outcome.waits_s[number] = now - request.at_s
                self.after(request.service_s, messages.RequestEnded(number), now)
            case messages.Reject(number, _):
                self.waiting -= 1
                self.outcome.refused += 1
                self.outcome.waits_s[number] = now - self.trace.requests[number].at_s
            case messages.StartEngine(model):
                self.after(0.0, messages.GateAsked(model), now)
                self.after(self.models[model].prepare_s, messages.GateReached(model), now)
                if self.scheduler.states()[model] is EngineState.STARTING:
                    self.lose(self.models[model].prepare_s)
            case messages.OpenGate(model):
                self.outcome.swaps += 1
                costs = self.models[model]
                self.take(costs.start_s - costs.prepare_s, messages.EngineReady(model), now)
            case messages.StopEngine(model):
                self.take(self.models[model].stop_s, messages.EngineStopped(model), now)
            case messages.SleepEngine(model, level):
                self.take(self.models[model].sleep_s[level - 1], messages.EngineAsleep(model), now)
            case messages.WakeEngine(model, level):
                self.outcome.swaps += 1
                self.take(self.models[model].wake_s[level - 1], messages.EngineReady(model), now)
            case _:
                pass

    def take(self, seconds: float, event: Event, now: float) -> None:
        self.lose(seconds)
        self.after(seconds, event, now)

    def lose(self, seconds: float) -> None:
        self.outcome.lost_s += seconds


def rota(trace: Trace) -> Outcome:
    """Play `trace` through Rota's scheduler."""
    return _Play(trace).run()


def _bytes(gib: float) -> int:
    return round(gib * GIB)
