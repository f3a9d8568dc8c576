"""Everything the scheduler knows, and the acts that change it: engines, tickets, the ledger, the commands to give.

Rule: an act changes state, ledger and commands together, so that they cannot disagree. Whether to act is not decided
here but in `decide`; what happened is recorded in `record`.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from math import isfinite

from catalog.spec import GIB
from proxy.core import errors, messages
from proxy.core.devices import Device, Placing
from proxy.core.ledger import Ledger
from proxy.core.limits import Limits
from proxy.core.messages import Command
from proxy.core.offers import Rung, Way
from proxy.core.queue import Ticket
from proxy.core.roster import Engine, EngineNeeds
from proxy.core.states import CHANGING, IN_TRANSITION, EngineState


class Board:
    """The facts of one scheduler."""

    def __init__(
        self,
        devices: Iterable[Device],
        models: Mapping[str, EngineNeeds],
        limits: Limits,
        *,
        host_bytes: int = 0,
        now: float = 0.0,
    ) -> None:
        self.ledger = Ledger(devices, host_bytes)
        self.engines = {model: Engine(model, needs, since=now) for model, needs in models.items()}
        self.limits = limits
        self.holder_of: dict[int, Engine] = {}
        """Every live ticket, waiting or leased, and its engine."""
        self.wanted: dict[str, Engine] = {}
        """The engines that somebody waits for: a ticket, a process at the gate, or a start that was asked for ahead."""
        self.changing: dict[str, Engine] = {}
        """The engines whose state may not last: they start, fall asleep, wake, stop, or wait at the gate."""
        self.stopped_by: dict[str, str] = {}
        """Who stopped which model by hand; it stays stopped until somebody starts it by hand."""
        self.commands: list[Command] = []
        self._expiries: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        states = ", ".join(f"{engine.model}={engine.state}" for engine in self.engines.values())
        return f"<Board {states} {self.ledger!r}>"

    # --- what follows from the facts --------------------------------------------------------------------------------

    def moving_devices(self) -> set[str]:
        """The devices on which a start, wake, sleep or stop is under way."""
        placings = self.ledger.placings
        moving = (placings[one.model] for one in self.changing.values() if one.state in IN_TRANSITION)
        return {device for placing in moving for device in placing.devices}

    def holders(self) -> list[Engine]:
        """The engines that hold memory."""
        return [self.engines[model] for model in self.ledger.placings]

    def start_bytes(self, engine: Engine) -> int:
        """What must be free on each device before `engine` starts."""
        return max(engine.needs.amounts.peak_bytes, engine.needs.amounts.awake_bytes)

    def too_large(self, engine: Engine) -> errors.RotaError | None:
        """The error if `engine` fits on no device even alone."""
        needed = self.start_bytes(engine)
        if any(all(needed <= self._capacity(device) for device in choice) for choice in engine.needs.choices):
            return None
        count, devices = engine.needs.device_count, self.ledger.devices.values()
        each = f"{needed / GIB:.2f} GiB" + (f" on each of {count} devices" if count > 1 else "")
        have = ", ".join(f"{device.name} has {device.capacity_bytes / GIB:.2f} GiB for models" for device in devices)
        what = f"{engine.model} needs {each}, and it fits nowhere: {have}"
        if not engine.needs.choices:
            what = f"{engine.model} may run on no device of this machine, or on fewer than it needs ({count}): {have}"
        return errors.ModelTooLarge(what, param="model")

    def holders_of(self, engine: Engine) -> str:
        """Who holds the memory of the devices that `engine` may have, in words."""
        told = []
        for device in dict.fromkeys(device for choice in engine.needs.choices for device in choice):
            held = [f"{model} {amount / GIB:.2f}" for model, amount in self.ledger.reservations(device).items()]
            if (strangers := self.ledger.strangers(device)).bytes:
                held.append(f"{strangers} {strangers.bytes / GIB:.2f}")
            known = self.ledger.devices[device]
            told.append(f"{known.name} ({known.total_bytes / GIB:.2f} GiB): {', '.join(held) or 'nobody'}")
        return f"it needs {self.start_bytes(engine) / GIB:.2f} GiB; held on " + "; ".join(told)

    # --- the queues -----------------------------------------------------------------------------------------------

    def enqueue(self, engine: Engine, ticket: Ticket) -> None:
        """Let `ticket` wait for `engine`."""
        engine.queue.add(ticket)
        self.holder_of[ticket.number] = engine
        if isfinite(ticket.expires_at):
            heappush(self._expiries, (ticket.expires_at, ticket.number))
        self.note_demand(engine)

    def leave_queue(self, engine: Engine, number: int) -> Ticket:
        """Take a ticket out of the queue. Raises: KeyError."""
        ticket = engine.queue.remove(number)
        self.note_demand(engine)
        return ticket

    def expired(self, now: float) -> Iterator[tuple[Engine, int]]:
        """The tickets that have waited to no avail, each once."""
        while self._expiries and self._expiries[0][0] < now:
            _, number = heappop(self._expiries)
            engine = self.holder_of.get(number)
            if engine is not None and number in engine.queue:
                yield engine, number

    def note_demand(self, engine: Engine) -> None:
        """Keep `wanted` true after a change of the queue or of who stands at the gate."""
        if engine.queue or engine.at_gate_since is not None or engine.is_preload:
            self.wanted[engine.model] = engine
        else:
            self.wanted.pop(engine.model, None)

    def stand_at_gate(self, engine: Engine, since: float | None) -> None:
        """A process that a person started waits at the gate since then, or does not any more."""
        engine.at_gate_since = since
        self.note_demand(engine)

    # --- acts ---------------------------------------------------------------------------------------------------

    def move(self, engine: Engine, state: EngineState, now: float, why: str) -> None:
        """Enter `state`. Raises: IllegalMove, with nothing changed."""
        engine.move(state, now, why)
        if state in CHANGING:
            self.changing[engine.model] = engine
        else:
            self.changing.pop(engine.model, None)

    def park(self, engine: Engine, now: float, why: str) -> None:
        """Have the process created that will wait at the gate, while others make room for it."""
        self.move(engine, EngineState.PARKED, now, why)
        engine.failure, engine.is_gate_open, engine.is_adopted, engine.sleep_level = None, False, False, 0
        engine.is_at_gate = False
        self.commands += [messages.StartEngine(engine.model), messages.ReadAhead(engine.model)]

    def start(self, engine: Engine, devices: tuple[str, ...], now: float, why: str) -> None:
        """Reserve, and have the process created, or let the one that waits at the gate go on."""
        self.ledger.reserve(engine.model, Placing(devices, self.start_bytes(engine)))
        was_parked = engine.state is EngineState.PARKED
        self.move(engine, EngineState.STARTING, now, why)
        engine.failure, engine.is_gate_open, engine.is_adopted, engine.sleep_level = None, False, False, 0
        if engine.at_gate_since is not None or (was_parked and engine.is_at_gate):
            self.open_gate(engine, now)
        elif not was_parked:
            self.commands.append(messages.StartEngine(engine.model))

    def open_gate(self, engine: Engine, now: float) -> None:
        """Let the process at the gate become the engine for which memory is reserved."""
        engine.is_gate_open, engine.gate_opened_at = True, now
        self.stand_at_gate(engine, None)
        devices = self.ledger.placings[engine.model].devices
        self.commands.append(messages.OpenGate(engine.model, devices, engine.needs.amounts.awake_bytes))

    def wake(self, engine: Engine, now: float, why: str) -> None:
        """Reserve what it takes awake, and wake it."""
        self.ledger.grow(engine.model, engine.needs.amounts.awake_bytes)
        self.move(engine, EngineState.WAKING, now, why)
        self.commands.append(messages.WakeEngine(engine.model, engine.sleep_level))

    def go_down(self, engine: Engine, way: Way, now: float) -> None:
        """Put a drained engine to sleep or stop it; for a level-1 sleep the host memory is reserved before."""
        if way.rung is Rung.STOP:
            self.stop(engine, now, engine.why)
            return
        level = 1 if way.rung is Rung.LEVEL_1 else 2
        if way.pins_bytes:
            self.ledger.pin(engine.model, self.ledger.pinned.get(engine.model, 0) + way.pins_bytes)
        self.move(engine, EngineState.FALLING_ASLEEP, now, engine.why)
        engine.sleep_level = level
        self.commands.append(messages.SleepEngine(engine.model, level))

    def stop(self, engine: Engine, now: float, why: str, *, at_once: bool = False) -> None:
        """End its processes; `at_once` without asking them first: they are broken, or hang."""
        if engine.state is EngineState.PARKED:
            self.ledger.adopt(engine.model, Placing((), 0))  # it holds nothing, and its end is awaited all the same
        self.move(engine, EngineState.STOPPING, now, why)
        engine.is_asked, engine.rung, engine.is_stopped_at_once = False, None, at_once
        self.commands.append(messages.StopEngine(engine.model, at_once))

    def fail(self, engine: Engine, error: errors.EngineStartFailed, now: float) -> None:
        """A start failed: tell all who wait, clean up, and cool down after that."""
        engine.failure = error
        engine.failures += 1
        wait_s = self.limits.cool_down_after(error.lasts, engine.failures)
        self.reject_all(engine, error, retry_after_s=wait_s if isfinite(wait_s) else None)
        self.stop(engine, now, error.message.partition("\n")[0], at_once=True)

    def escalate(self, engine: Engine, detail: str, now: float) -> None:
        """A sleep or a wake failed: count it and end the process; who waits gets a cold start."""
        level = engine.sleep_level
        engine.failed_sleeps[level] = engine.failed_sleeps.get(level, 0) + 1
        engine.escalations += 1
        engine.last_escalation = f"level {level}: {detail}" if level else detail
        self.stop(engine, now, detail, at_once=True)

    def send_away(self, engine: Engine, error: errors.RotaError) -> None:
        """Nobody who waits for `engine` gets it."""
        self.reject_all(engine, error, retry_after_s=error.retry_after_s)
        if engine.at_gate_since is not None:
            self.stand_at_gate(engine, None)
            self.commands.append(messages.CloseGate(engine.model, error))

    def reject_all(self, engine: Engine, error: errors.RotaError, retry_after_s: float | None = None) -> None:
        """End all tickets that wait for `engine`."""
        for ticket in list(engine.queue):
            self.reject(ticket, error.again(retry_after_s))

    def reject(self, ticket: int, error: errors.RotaError) -> None:
        """End one ticket."""
        self.leave_queue(self.holder_of.pop(ticket), ticket)
        self.commands.append(messages.Reject(ticket, error))

    def _capacity(self, device: str) -> int:
        return self.ledger.devices[device].capacity_bytes
