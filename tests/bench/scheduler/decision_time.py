"""How long one decision takes: a real scheduler that is kept full, with `perf_counter` around each `handle`.

Time inside it is simulated, and what is drawn comes from a seed, so that every run decides the same. As many tickets
wait all the while as at the beginning: for each that is granted another one comes. Models are wanted unevenly (the n-th
in proportion to 1/n), are of 5 to 22 GiB, and half of them can sleep, so that every decision finds engines on all
cards that could leave, awake or asleep, and many who want their room.
"""

import gc
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from statistics import median
from time import perf_counter

from proxy.core import messages
from proxy.core.messages import Command, Event
from proxy.core.record import record
from proxy.core.scheduler import Scheduler
from tests.bench.scheduler.checks import Check
from tests.bench.scheduler.rota import TICK_S, scheduler_of
from tests.bench.scheduler.trace import ModelCosts, World

SEED = 7
DEVICES_GIB = {f"gpu{number}": 24.0 for number in range(4)}
MAX_WAIT_S = 600.0
FILLED_WITHIN_S = 60.0
SERVICE_S = 4.0
SIZES = ((20, 200, 4000, 200.0), (1000, 10_000, 1000, 2000.0))
"""Models, waiting tickets, decisions to measure, and the limit of their median in us."""
GRANTS = (1_000, 10_000)
GROWTH = 1.25
"""No worse than linear: more than 1 is noise, and caches that are too small for ten thousand tickets."""


@dataclass(slots=True)
class Times:
    """What each `handle` took, in s, by the kind of the event."""

    by_kind: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    planning: list[float] = field(default_factory=list)
    """Of those that made a new plan: where a request more or less changes nothing, none is made."""

    @property
    def median_s(self) -> float:
        """Over all events."""
        return median(one for times in self.by_kind.values() for one in times)

    def __str__(self) -> str:
        kinds = sorted(self.by_kind.items(), key=lambda item: -len(item[1]))
        told = ", ".join(f"{kind} {median(times) * 1e6:.0f} us ({len(times)})" for kind, times in kinds)
        return f"{median(self.planning) * 1e6:.0f} us where a new plan is made ({len(self.planning)}); {told}"


class _Full:
    """A scheduler with `models` models and `tickets` waiting tickets, and the world around it."""

    def __init__(self, models: int, tickets: int) -> None:
        self.random = Random(SEED)  # noqa: S311 - it draws what happens, no secret
        self.names = [f"m{number:04}" for number in range(models)]
        self.weights = [1.0 / (1 + number) for number in range(models)]
        self.costs = {name: self._costs() for name in self.names}
        world = World(devices_gib=DEVICES_GIB, models=self.costs, host_gib=128.0, max_wait_s=MAX_WAIT_S)
        self.scheduler: Scheduler = scheduler_of(world)
        self.agenda: list[tuple[float, int, Event]] = []
        self.pushed = 0
        self.ticket = 0
        self.after(FILLED_WITHIN_S, messages.Tick(), 0.0)
        for number in range(tickets):
            # Only recorded: to decide ten thousand times first would tell nothing.
            arrived = self.arrival(self.names[number] if number < models else None)
            record(self.scheduler._board, arrived, FILLED_WITHIN_S * number / tickets)

    def _costs(self) -> ModelCosts:
        gib, start_s = self.random.uniform(5.0, 22.0), self.random.uniform(40.0, 90.0)
        if self.random.random() < 0.5:
            return ModelCosts(gib=gib, start_s=start_s)
        return ModelCosts(gib=gib, start_s=start_s, sleep_levels=(1, 2), host_gib=gib)

    def arrival(self, model: str | None = None) -> messages.RequestArrived:
        self.ticket += 1
        return messages.RequestArrived(self.ticket, model or self.random.choices(self.names, self.weights)[0])

    def after(self, seconds: float, event: Event, now: float) -> None:
        self.pushed += 1
        heapq.heappush(self.agenda, (now + seconds, self.pushed, event))

    def events(self) -> Iterator[tuple[Event, float]]:
        """For ever."""
        while True:
            now, _, event = heapq.heappop(self.agenda)
            if isinstance(event, messages.Tick):
                self.after(TICK_S, event, now)
            yield event, now

    def do(self, commands: list[Command], now: float) -> None:
        for command in commands:
            match command:
                case messages.Grant(ticket):
                    self.after(self.random.expovariate(1.0 / SERVICE_S), messages.RequestEnded(ticket), now)
                    self.after(self.random.uniform(0.0, SERVICE_S), self.arrival(), now)
                case messages.StartEngine(model):
                    self.after(0.0, messages.GateAsked(model), now)
                    self.after(self.costs[model].prepare_s, messages.GateReached(model), now)
                case messages.OpenGate(model):
                    costs = self.costs[model]
                    self.after(costs.start_s - costs.prepare_s, messages.EngineReady(model), now)
                case messages.StopEngine(model):
                    self.after(self.costs[model].stop_s, messages.EngineStopped(model), now)
                case messages.SleepEngine(model, level):
                    self.after(self.costs[model].sleep_s[level - 1], messages.EngineAsleep(model), now)
                case messages.WakeEngine(model, level):
                    self.after(self.costs[model].wake_s[level - 1], messages.EngineReady(model), now)
                case _:
                    pass


def measure(models: int, tickets: int, events: int) -> Times:
    """The times of `events` decisions, after a tenth as many that are not counted."""
    full, times = _Full(models, tickets), Times()
    gc.collect()
    for number, (event, now) in enumerate(full.events()):
        if number >= events + events // 10:
            return times
        plan_before = full.scheduler._board.plan
        began_s = perf_counter()
        commands = full.scheduler.handle(event, now)
        took_s = perf_counter() - began_s
        if number >= events // 10:
            times.by_kind[type(event).__name__].append(took_s)
            if full.scheduler._board.plan is not plan_before:
                times.planning.append(took_s)
        full.do(commands, now)
    raise AssertionError


def granting(tickets: int) -> float:
    """Seconds for the one decision that grants so many tickets at once: their engine is ready."""
    world = World(devices_gib=DEVICES_GIB, models={"m": ModelCosts(gib=20.0, start_s=50.0, concurrency=2 * tickets)})
    scheduler = scheduler_of(world)
    for number in range(tickets):
        scheduler.handle(messages.RequestArrived(number, "m"), 0.0)
    scheduler.handle(messages.GateAsked("m"), 0.0)
    scheduler.handle(messages.GateReached("m"), 7.0)
    gc.collect()
    began_s = perf_counter()
    commands = scheduler.handle(messages.EngineReady("m"), 50.0)
    took_s = perf_counter() - began_s
    if len(commands) != tickets:
        raise RuntimeError(f"{len(commands)} commands, and {tickets} were to be granted")
    return took_s


def checks(tell: Callable[[str], None]) -> Iterator[Check]:
    """The medians against their limits, and how the time grows with what changed."""
    tell("decision times, medians")
    medians_us = []
    for models, tickets, events, limit_us in SIZES:
        times = measure(models, tickets, events)
        medians_us.append(times.median_s * 1e6)
        tell(f"  {models} models, {tickets} waiting tickets: {medians_us[-1]:.0f} us a decision; {times}")
        what = f"median time of a decision at {models} models and {tickets} tickets"
        yield Check(what, limit_us, {f"{events} decisions": medians_us[-1]}, "us")
    few_s, many_s = (min(granting(tickets) for _ in range(5)) for tickets in GRANTS)
    tell(f"  {GRANTS[0]} tickets granted at once: {few_s * 1e3:.1f} ms; {GRANTS[1]}: {many_s * 1e3:.1f} ms")
    more = GRANTS[1] / GRANTS[0]
    figures = {f"{GRANTS[0]} to {GRANTS[1]} tickets granted at once": many_s / few_s / more}
    (few, *_), (many, *_) = SIZES
    figures[f"{few} to {many} models"] = medians_us[1] / medians_us[0] / (many / few)
    yield Check("growth of that time, in parts of the growth of what changed", GROWTH, figures)
