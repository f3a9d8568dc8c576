"""Everything the scheduler knows, and the acts that change it: engines, tickets, the ledger, the commands to give.

Rule: an act changes state, ledger and commands together, so that they cannot disagree. Whether to act is not decided
here but in `decide`; what happened is recorded in `record`.
"""

from collections.abc import Iterable, Mapping
from math import isfinite

from catalog.spec import GIB
from proxy.core import errors, messages
from proxy.core.devices import Device, Placing
from proxy.core.ledger import Ledger
from proxy.core.limits import Limits
from proxy.core.messages import Command
from proxy.core.placement import Rung, Way
from proxy.core.roster import Engine, EngineNeeds
from proxy.core.states import IN_TRANSITION, EngineState


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
        self.commands: list[Command] = []

    def __repr__(self) -> str:
        states = ", ".join(f"{engine.model}={engine.state}" for engine in self.engines.values())
        return f"<Board {states} {self.ledger!r}>"

    # --- what follows from the facts --------------------------------------------------------------------------------

    def moving_devices(self) -> set[str]:
        """The devices on which a start, wake, sleep or stop is under way."""
        placings = self.ledger.placings
        moving = (placings[one.model] for one in self.engines.values() if one.state in IN_TRANSITION)
        return {device for placing in moving for device in placing.devices}

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

    # --- acts ---------------------------------------------------------------------------------------------------

    def start(self, engine: Engine, devices: tuple[str, ...], now: float, why: str) -> None:
        """Reserve, and have the process created, or let the one that waits at the gate go on."""
        self.ledger.reserve(engine.model, Placing(devices, self.start_bytes(engine)))
        engine.move(EngineState.STARTING, now, why)
        engine.failure, engine.is_gate_open, engine.is_adopted, engine.sleep_level = None, False, False, 0
        if engine.at_gate_since is None:
            self.commands.append(messages.StartEngine(engine.model))
        else:
            self.open_gate(engine)

    def open_gate(self, engine: Engine) -> None:
        """Let the process at the gate become the engine for which memory is reserved."""
        engine.is_gate_open, engine.at_gate_since = True, None
        devices = self.ledger.placings[engine.model].devices
        self.commands.append(messages.OpenGate(engine.model, devices, engine.needs.amounts.awake_bytes))

    def wake(self, engine: Engine, now: float, why: str) -> None:
        """Reserve what it takes awake, and wake it."""
        self.ledger.grow(engine.model, engine.needs.amounts.awake_bytes)
        engine.move(EngineState.WAKING, now, why)
        self.commands.append(messages.WakeEngine(engine.model, engine.sleep_level))

    def go_down(self, engine: Engine, way: Way, now: float) -> None:
        """Put a drained engine to sleep or stop it; for a level-1 sleep the host memory is reserved before."""
        if way.rung is Rung.STOP:
            self.stop(engine, now, engine.why)
            return
        level = 1 if way.rung is Rung.LEVEL_1 else 2
        if way.pins_bytes:
            self.ledger.pin(engine.model, self.ledger.pinned.get(engine.model, 0) + way.pins_bytes)
        engine.move(EngineState.FALLING_ASLEEP, now, engine.why)
        engine.sleep_level = level
        self.commands.append(messages.SleepEngine(engine.model, level))

    def stop(self, engine: Engine, now: float, why: str, *, at_once: bool = False) -> None:
        """End its processes; `at_once` without asking them first: they are broken, or hang."""
        engine.move(EngineState.STOPPING, now, why)
        engine.is_asked, engine.rung = False, None
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
            engine.at_gate_since = None
            self.commands.append(messages.CloseGate(engine.model, error))

    def reject_all(self, engine: Engine, error: errors.RotaError, retry_after_s: float | None = None) -> None:
        """End all tickets that wait for `engine`."""
        for ticket in list(engine.waiting):
            self.reject(ticket, type(error)(error.message, param=error.param, retry_after_s=retry_after_s))

    def reject(self, ticket: int, error: errors.RotaError) -> None:
        """End one ticket."""
        self.holder_of.pop(ticket).waiting.pop(ticket)
        self.commands.append(messages.Reject(ticket, error))

    def _capacity(self, device: str) -> int:
        return self.ledger.devices[device].capacity_bytes
