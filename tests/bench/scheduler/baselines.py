"""Four policies to compare with, written plainly from what their projects do.

- `fifo-lru`: strictly in the order of arrival; the head of the queue gets room by evicting the least recently used.
- `ready-first`: llama-swap (`internal/router/scheduler/fifo.go`): who asks for a ready model is served at once,
  whoever else waits; another model waits until the engines in its way are idle. Unlike llama-swap it is told what fits.
- `one-active`: llmux 2 (`src/policy/fifo.rs`): one model is awake; the first request for another one switches, after
  the active one has been there for 5 s.
- `cost-aware`: llmux 0.9 (`src/policy/cost_aware.rs`, its defaults): one model is awake; it stays for as long as the
  next switch is measured to cost, then switches for half a request per second of that cost, after 2 s at the latest; a
  request that has waited `max_wait_s` switches at once.

All of them put an engine to sleep instead of stopping it where it can sleep and the host has memory for it.
"""

from math import ceil

from tests.bench.scheduler.machine import Engine, Machine, State
from tests.bench.scheduler.trace import Outcome, Trace

MIN_ACTIVE_S = 5.0
COALESCE_S = 2.0
AMORTIZATION = 0.5
FIRST_ESTIMATE_S = 10.0
LONGEST_ESTIMATE_S = 60.0


def fifo_lru(trace: Trace) -> Outcome:
    """Strictly in order; make room by the least recently used."""
    machine = Machine(trace, "fifo-lru")
    leaving: list[Engine] = []

    def step() -> None:
        while machine.waiting:
            engine = machine.engines[machine.waiting[0].model]
            if engine.state is not State.UP or engine in leaving:
                break
            machine.serve(machine.waiting[0])
        for one in [one for one in leaving if one.state not in (State.UP, State.ASLEEP, State.FALLING)]:
            leaving.remove(one)
        if not machine.waiting or engine.state not in (State.OFF, State.ASLEEP):
            return
        if (device := machine.fitting(engine)) is not None:
            leaving.clear()
            if not machine.is_moving(device):
                machine.rise(engine, device)
            return
        if not leaving:
            leaving.extend(_least_recently_used(machine, engine, only_idle=False))
        for one in leaving:
            if one.state is not State.FALLING and one.is_idle and not machine.is_moving(one.device):
                machine.fall(one, engine.costs.gib)

    return machine.run(step)


def ready_first(trace: Trace) -> Outcome:
    """Who is ready serves at once; others wait until the engines in their way are idle."""
    machine = Machine(trace, "ready-first")

    def step() -> None:
        for request in list(machine.waiting):
            if machine.engines[request.model].state is State.UP:
                machine.serve(request)
        claimed: set[str] = set()
        for model in dict.fromkeys(request.model for request in machine.waiting):
            engine = machine.engines[model]
            if engine.state not in (State.OFF, State.ASLEEP):
                continue
            device = machine.fitting(engine)
            if device is not None and device not in claimed:
                claimed.add(device)
                if not machine.is_moving(device):
                    machine.rise(engine, device)
                continue
            for one in _least_recently_used(machine, engine, only_idle=True):
                if one.device not in claimed and not machine.is_moving(one.device):
                    machine.fall(one, engine.costs.gib)
                claimed.add(one.device)

    return machine.run(step)


def _least_recently_used(machine: Machine, engine: Engine, *, only_idle: bool) -> list[Engine]:
    """The engines to evict for `engine`: on the device where the last used of them has been unused longest."""
    options = []
    for device in machine.devices_of(engine):
        free = machine.free_gib(device)
        here = [one for one in machine.engines.values() if one.device == device and one is not engine]
        free += sum(one.held_gib for one in here if one.state is State.FALLING)
        evicted: list[Engine] = []
        for one in sorted(here, key=lambda one: (one.used_at, one.model)):
            if free + 1e-9 >= engine.costs.gib - engine.held_gib:
                break
            if one.state is State.ASLEEP or (one.state is State.UP and (one.is_idle or not only_idle)):
                evicted.append(one)
                free += one.held_gib
        if evicted and free + 1e-9 >= engine.costs.gib - engine.held_gib:
            options.append((max(one.used_at for one in evicted), device, evicted))
    return min(options)[2] if options else []


class _OneActive:
    """One model is awake at a time; subclasses say when to switch."""

    name = "one-active"

    def __init__(self, trace: Trace) -> None:
        self.machine = Machine(trace, self.name)
        self.active: Engine | None = None
        self.target: Engine | None = None
        self.switch_began_at = 0.0

    def run(self) -> Outcome:
        return self.machine.run(self.step)

    def step(self) -> None:
        machine = self.machine
        if self.target is None and self.active is not None and self.active.state is State.UP:
            for request in [one for one in machine.waiting if one.model == self.active.model]:
                machine.serve(request)
        if self.target is None and machine.waiting and (self.active is None or self.active.state is State.UP):
            self.target = self.choose()
            self.switch_began_at = machine.now
        if self.target is not None:
            self._go_on(self.target)

    def choose(self) -> Engine | None:
        """Whom to switch to now; where it is too early, a later look is put on the agenda."""
        machine = self.machine
        if self.active is not None and machine.now < self.active.up_at + MIN_ACTIVE_S:
            machine.at(self.active.up_at + MIN_ACTIVE_S, lambda: None)
            return None
        return machine.engines[machine.waiting[0].model]

    def switched(self, seconds: float) -> None:
        """A switch took so long."""

    def _go_on(self, target: Engine) -> None:
        machine, active = self.machine, self.active
        if active is not None and active is not target:
            if active.state is State.UP and active.is_idle:
                machine.fall(active, target.costs.gib)
            if active.state in (State.UP, State.FALLING):
                return
            self.active = None
        if target.state in (State.OFF, State.ASLEEP):
            if (device := machine.fitting(target)) is not None:
                machine.rise(target, device)
            else:
                self._drop_a_sleeper(target)
        elif target.state is State.UP:
            self.switched(machine.now - self.switch_began_at)
            self.active, self.target = target, None
            self.step()

    def _drop_a_sleeper(self, target: Engine) -> None:
        """What keeps `target` out are sleepers: the least recently used one stops, itself only where nobody else is."""
        machine = self.machine
        if any(one.state is State.FALLING for one in machine.engines.values()):
            return
        devices = [one for one in machine.devices_of(target) if machine.world.devices_gib[one] >= target.costs.gib]
        sleepers = [one for one in machine.engines.values() if one.state is State.ASLEEP and one.device in devices]
        if sleepers:
            machine.fall(min(sleepers, key=lambda one: (one is target, one.used_at)), target.costs.gib)


class _CostAware(_OneActive):
    name = "cost-aware"

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self.estimates_s: dict[tuple[str, str], float] = {}
        self.deferred: dict[str, float] = {}
        """When a switch that was put off is made, by model."""

    def choose(self) -> Engine | None:
        machine, active = self.machine, self.active
        for model in dict.fromkeys(request.model for request in machine.waiting):
            waiting = [request for request in machine.waiting if request.model == model]
            if active is None or machine.now - waiting[0].at_s >= machine.world.max_wait_s - 1e-9:
                return self._now(model)
            machine.at(waiting[0].at_s + machine.world.max_wait_s, lambda: None)
            if model in self.deferred:
                if machine.now + 1e-9 >= max(self.deferred[model], active.up_at + MIN_ACTIVE_S):
                    return self._now(model)
                machine.at(max(self.deferred[model], active.up_at + MIN_ACTIVE_S), lambda: None)
                continue
            cost_s = self.estimates_s.get((active.model, model), FIRST_ESTIMATE_S)
            if machine.now < active.up_at + cost_s:
                self.deferred[model] = active.up_at + cost_s
            elif len(waiting) >= max(1, ceil(AMORTIZATION * cost_s)):
                return self._now(model)
            else:
                self.deferred[model] = machine.now + COALESCE_S
            machine.at(max(self.deferred[model], active.up_at + MIN_ACTIVE_S), lambda: None)
        return None

    def _now(self, model: str) -> Engine:
        self.deferred.pop(model, None)
        self.pair = (self.active.model if self.active else "", model)
        return self.machine.engines[model]

    def switched(self, seconds: float) -> None:
        seconds = min(seconds, LONGEST_ESTIMATE_S)
        old = self.estimates_s.get(self.pair)
        self.estimates_s[self.pair] = seconds if old is None else 0.3 * seconds + 0.7 * old


def one_active(trace: Trace) -> Outcome:
    """llmux 2."""
    return _OneActive(trace).run()


def cost_aware(trace: Trace) -> Outcome:
    """llmux 0.9."""
    return _CostAware(trace).run()


BASELINES = {"fifo-lru": fifo_lru, "ready-first": ready_first, "one-active": one_active, "cost-aware": cost_aware}
