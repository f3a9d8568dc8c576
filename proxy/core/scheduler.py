"""The scheduler: one event in, a list of commands out. It records the event, then calls the one decision function.

Nothing here awaits, reads a clock, logs or does I/O; `now` is monotonic seconds and an argument.

1. A ticket for a READY engine is granted at once; for any other it waits, in the order of arrival.
2. Demands (tickets, and processes at the gate) are served in the order of the oldest one of each model.
3. Where a demand does not fit, `placement` plans who leaves. Victims drain: no new leases, then they stop.
   A victim that is no longer needed goes back to READY.
4. Memory is reserved before a start and released when it has been seen free, never earlier.
5. At most one start or stop is under way on the device.
6. A failed start is tried again after a cool-down: always the same where the cause passes, twice as long each time
   where the cause is unknown, never where it lies in the configuration. By hand it is tried at once.
"""

from collections.abc import Mapping
from math import isfinite
from typing import assert_never

from catalog.spec import GIB
from proxy.core import errors, messages
from proxy.core.diagnose import Lasts
from proxy.core.ledger import Ledger
from proxy.core.limits import RETRY_AFTER_WAIT_S, Limits
from proxy.core.messages import Command, Event
from proxy.core.placement import Candidate, Demand, plan
from proxy.core.roster import Engine, EngineNeeds, EngineView
from proxy.core.states import IN_TRANSITION, RUNS, EngineState


class Scheduler:
    """Decides who runs on one device."""

    def __init__(
        self, capacity_bytes: int, models: Mapping[str, EngineNeeds], limits: Limits | None = None, *, now: float = 0.0
    ) -> None:
        self.ledger = Ledger(capacity_bytes)
        self._engines = {model: Engine(model, needs, since=now) for model, needs in models.items()}
        self._limits = limits or Limits()
        self._holder_of: dict[int, Engine] = {}
        """Every live ticket, waiting or leased, and its engine."""
        self._commands: list[Command] = []

    def __repr__(self) -> str:
        states = ", ".join(f"{engine.model}={engine.state}" for engine in self._engines.values())
        return f"<Scheduler {states} {self.ledger!r}>"

    def handle(self, event: Event, now: float) -> list[Command]:
        """Record `event`, decide, and return what to do, in this order."""
        self._commands = []
        self._record(event, now)
        self._decide(now)
        return self._commands

    def states(self) -> dict[str, EngineState]:
        """The state of every engine, by model."""
        return {engine.model: engine.state for engine in self._engines.values()}

    def view(self, now: float) -> list[EngineView]:
        """All engines at this moment, in the order of the catalog."""
        held = self.ledger.reservations
        return [engine.view(now, held.get(engine.model, 0)) for engine in self._engines.values()]

    # --- recording ------------------------------------------------------------------------------------------------

    def _record(self, event: Event, now: float) -> None:
        match event:
            case messages.RequestArrived(ticket, model, by_hand):
                engine = self._engines[model]
                if by_hand:
                    engine.cool_until = now
                if (error := self._too_large(engine)) is not None:
                    self._commands.append(messages.Reject(ticket, error))
                else:
                    engine.waiting[ticket] = now
                    self._holder_of[ticket] = engine
            case messages.RequestEnded(ticket):
                self._end_ticket(ticket, now)
            case messages.StopAsked(model):
                self._record_stop_asked(self._engines[model], now)
            case messages.GateAsked(model):
                self._record_gate_asked(self._engines[model], now)
            case messages.GateLeft(model):
                self._engines[model].at_gate_since = None
            case messages.EngineReady(model):
                engine = self._engines[model]
                if engine.state is EngineState.STARTING:
                    engine.move(EngineState.READY, now)
                    engine.failure, engine.failures, engine.last_used_at = None, 0, now
            case messages.StartFailed(model, error):
                if self._engines[model].state is EngineState.STARTING:
                    self._fail(self._engines[model], error, now)
            case messages.EngineDown(model):
                self._record_down(self._engines[model], event, now)
            case messages.EngineStopped(model):
                engine = self._engines[model]
                self.ledger.release(model)
                if engine.is_stop_asked:
                    engine.is_stop_asked = False
                    self._send_away(engine, "it was stopped by manage_vllm.sh")
                engine.move(EngineState.STOPPED if engine.failure is None else EngineState.FAILED, now)
                if engine.failure is not None:
                    engine.cool_until = now + self._limits.cool_down_after(engine.failure.lasts, engine.failures)
            case messages.EngineFound(model):
                engine = self._engines[model]
                self.ledger.adopt(model, engine.needs.memory_bytes)
                engine.move(EngineState.STARTING, now)
                engine.is_gate_open = True
            case messages.Tick():
                pass
            case _:
                assert_never(event)

    def _end_ticket(self, ticket: int, now: float) -> None:
        """Forget a ticket wherever it stands. One that was granted while its client left is a lease like any other."""
        if (engine := self._holder_of.pop(ticket, None)) is None:
            return
        engine.waiting.pop(ticket, None)
        if ticket in engine.leases:
            engine.leases.remove(ticket)
            engine.last_used_at = now

    def _record_stop_asked(self, engine: Engine, now: float) -> None:
        match engine.state:
            case EngineState.READY | EngineState.DRAINING:
                engine.is_stop_asked = True
                if engine.state is EngineState.READY:
                    engine.move(EngineState.DRAINING, now)
            case EngineState.STARTING:
                self._stop(engine, now)
            case EngineState.STOPPED | EngineState.STOPPING | EngineState.FAILED:
                pass
            case _:
                assert_never(engine.state)
        self._send_away(engine, "it was stopped by manage_vllm.sh")

    def _record_gate_asked(self, engine: Engine, now: float) -> None:
        if (error := self._too_large(engine)) is not None:
            self._commands.append(messages.CloseGate(engine.model, error))
            return
        if engine.state is EngineState.STARTING and not engine.is_gate_open:
            self._open_gate(engine)
            return
        engine.at_gate_since = now
        if engine.state in RUNS:
            # Restarted by hand so fast that nobody saw the old process go: its memory must be seen free first.
            self._stop(engine, now)

    def _record_down(self, engine: Engine, event: messages.EngineDown, now: float) -> None:
        if engine.state not in RUNS:
            return
        if event.by_hand:
            self._stop(engine, now)
            self._send_away(engine, event.detail)
        elif engine.state is EngineState.STARTING:
            why = event.diagnosis
            mend = f" Then: bin/manage_vllm.sh start {engine.model}" if why.lasts is Lasts.LASTING else ""
            what = f"{engine.model} ended while starting. {why.cause} {why.remedy}{mend}\n{event.detail}"
            self._fail(engine, errors.EngineStartFailed(what, lasts=why.lasts), now)
        else:
            self._stop(engine, now)

    # --- deciding -------------------------------------------------------------------------------------------------

    def _decide(self, now: float) -> None:
        """The one decision function: whatever happened, this is what follows from the facts."""
        self._end_what_took_too_long(now)
        self._grant()
        to_start = self._make_room(now)
        self._grant()
        self._begin_one_transition(to_start, now)

    def _end_what_took_too_long(self, now: float) -> None:
        for engine in self._engines.values():
            if engine.state is EngineState.STARTING and now - engine.since > engine.needs.start_timeout_s:
                what = f"{engine.model} was not ready {engine.needs.start_timeout_s:.0f} s after its start"
                self._fail(engine, errors.EngineStartFailed(what), now)
            if engine.is_cooling(now) and engine.failure is not None:
                self._reject_all(engine, engine.failure, retry_after_s=engine.retry_in_s(now))
            limit_s = self._limits.max_wait_s
            why = f"waited {limit_s:.0f} s for {engine.model}, which is {engine.state}"
            for ticket in [ticket for ticket, since in engine.waiting.items() if now - since > limit_s]:
                self._reject(ticket, errors.WaitedTooLong(f"the request {why}", retry_after_s=RETRY_AFTER_WAIT_S))
            if engine.at_gate_since is not None and now - engine.at_gate_since > limit_s:
                engine.at_gate_since = None
                self._commands.append(messages.CloseGate(engine.model, errors.WaitedTooLong(f"the start {why}")))

    def _grant(self) -> None:
        for engine in self._engines.values():
            if engine.state is EngineState.READY:
                for ticket in engine.waiting:
                    engine.leases.add(ticket)
                    self._commands.append(messages.Grant(ticket))
                engine.waiting.clear()

    def _make_room(self, now: float) -> list[Engine]:
        """Plan afresh; let the victims drain and the others serve again. Returns the engines to start, in order."""
        engines = self._engines.values()
        startable = (one for one in engines if one.state in (EngineState.STOPPED, EngineState.FAILED))
        wanted = [(since, one) for one in startable if (since := one.wanted_since()) is not None]
        demands = [Demand(one.model, one.needs.memory_bytes) for _, one in sorted(wanted, key=lambda pair: pair[0])]
        evictable = [one for one in engines if one.state in RUNS - IN_TRANSITION and not one.is_stop_asked]
        leaving = [one for one in engines if one.state is EngineState.STOPPING or one.is_stop_asked]
        room_bytes = self.ledger.free_bytes + sum(self.ledger.reservations[one.model] for one in leaving)
        decided = plan(demands, [self._candidate(one) for one in evictable], room_bytes)
        for engine in evictable:
            if (engine.model in decided.victims) != (engine.state is EngineState.DRAINING):
                engine.move(EngineState.DRAINING if engine.model in decided.victims else EngineState.READY, now)
        return [self._engines[demand.model] for demand in decided.covered]

    def _begin_one_transition(self, to_start: list[Engine], now: float) -> None:
        """Start the first demand that fits already, or stop the first victim that has drained."""
        engines = self._engines.values()
        if any(one.state in IN_TRANSITION for one in engines):
            return
        drained = next((one for one in engines if one.state is EngineState.DRAINING and not one.leases), None)
        for engine in to_start:
            if engine.needs.memory_bytes <= self.ledger.free_bytes:
                self._start(engine, now)
                return
            if drained is not None:
                break
        if drained is not None:
            self._stop(drained, now)

    # --- acting ---------------------------------------------------------------------------------------------------

    def _start(self, engine: Engine, now: float) -> None:
        self.ledger.reserve(engine.model, engine.needs.memory_bytes)
        engine.move(EngineState.STARTING, now)
        engine.failure = None
        engine.is_gate_open = False
        if engine.at_gate_since is None:
            self._commands.append(messages.StartEngine(engine.model))
        else:
            self._open_gate(engine)

    def _open_gate(self, engine: Engine) -> None:
        engine.is_gate_open, engine.at_gate_since = True, None
        self._commands.append(messages.OpenGate(engine.model))

    def _stop(self, engine: Engine, now: float) -> None:
        engine.move(EngineState.STOPPING, now)
        self._commands.append(messages.StopEngine(engine.model))

    def _fail(self, engine: Engine, error: errors.EngineStartFailed, now: float) -> None:
        engine.failure = error
        engine.failures += 1
        wait_s = self._limits.cool_down_after(error.lasts, engine.failures)
        self._reject_all(engine, error, retry_after_s=wait_s if isfinite(wait_s) else None)
        self._stop(engine, now)

    def _send_away(self, engine: Engine, why: str) -> None:
        """After a stop by hand nobody who waited brings the engine back; the next request does."""
        self._reject_all(engine, errors.StoppedByHand(f"{engine.model} is not available: {why}"), retry_after_s=1.0)
        if engine.at_gate_since is not None:
            engine.at_gate_since = None
            self._commands.append(messages.CloseGate(engine.model, errors.StoppedByHand(f"{engine.model}: {why}")))

    def _reject_all(self, engine: Engine, error: errors.RotaError, retry_after_s: float | None = None) -> None:
        for ticket in list(engine.waiting):
            self._reject(ticket, type(error)(error.message, param=error.param, retry_after_s=retry_after_s))

    def _reject(self, ticket: int, error: errors.RotaError) -> None:
        self._holder_of.pop(ticket).waiting.pop(ticket)
        self._commands.append(messages.Reject(ticket, error))

    def _too_large(self, engine: Engine) -> errors.RotaError | None:
        needed, capacity = engine.needs.memory_bytes, self.ledger.capacity_bytes
        if needed <= capacity:
            return None
        what = f"{engine.model} needs {needed / GIB:.2f} GiB and the device has {capacity / GIB:.2f} GiB for models"
        return errors.ModelTooLarge(what, param="model")

    def _candidate(self, engine: Engine) -> Candidate:
        return Candidate(
            model=engine.model,
            bytes=self.ledger.reservations[engine.model],
            is_idle=not engine.leases,
            is_draining=engine.state is EngineState.DRAINING,
            last_used_at=engine.last_used_at,
        )
