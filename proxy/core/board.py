"""Everything the scheduler knows, and the acts that change it: engines, tickets, the ledger, the commands to give.

Rule: an act changes state, ledger and commands together, so that they cannot disagree. Whether to act is not decided
here but in `decide`; what happened is recorded in `record`.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from math import inf, isfinite

from proxy.core import errors, messages
from proxy.core.devices import Device, Placing
from proxy.core.journal import Cause, Granted, Journal, Move, Refused
from proxy.core.ledger import Ledger
from proxy.core.limits import Limits
from proxy.core.messages import Command
from proxy.core.methods import Method
from proxy.core.offers import Plan, Rung, Way
from proxy.core.queue import Ticket
from proxy.core.roster import Engine, EngineNeeds
from proxy.core.states import ABSENT, CHANGING, IN_TRANSITION, EngineState


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
        self.outdated: dict[str, Engine] = {}
        """The engines whose entry in the catalog has changed, or is gone, and that have not followed it yet."""
        self.gone: set[str] = set()
        """The models that have left the catalog and are forgotten: an event about one of them is old news."""
        self.stopped_by: dict[str, str] = {}
        """Who stopped which model by hand; it stays stopped until somebody starts it by hand."""
        self.pins: dict[str, bool] = {}
        """The models that a person has pinned, or unpinned; of all others the catalog says it."""
        self.commands: list[Command] = []
        self.journal = Journal()
        self.plan = Plan()
        """The last one: who waits for whom, for who wants to know."""
        self.left_for: dict[str, str] = {}
        """Who has begun to make room, and for whom: until that one is up, its room is not taken back."""
        self.is_stale = True
        """What has happened may change the plan."""
        self.has_ticked = False
        """Time passes: what ran before this proxy's life has been found."""
        self.is_host_short = False
        """The host itself has hardly any memory left, whoever holds it."""
        self.host_spare_bytes: int | None = None
        """How much of it could be taken without its being short of memory; None where nobody has looked."""
        self.waiting = 0
        """The tickets in all queues."""
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

    def is_pinned(self, engine: Engine) -> bool:
        """Whether it never makes room, nor is ended for idleness."""
        return self.pins.get(engine.model, engine.needs.terms.is_pinned)

    def start_bytes(self, engine: Engine) -> int:
        """What must be free on each device before `engine` starts."""
        return engine.needs.start_bytes

    # --- the queues -----------------------------------------------------------------------------------------------

    def enqueue(self, engine: Engine, ticket: Ticket) -> None:
        """Let `ticket` wait for `engine`."""
        engine.queue.add(ticket)
        self.waiting += 1
        self.holder_of[ticket.number] = engine
        if isfinite(ticket.expires_at):
            heappush(self._expiries, (ticket.expires_at, ticket.number))
        self.note_demand(engine)

    def leave_queue(self, engine: Engine, number: int) -> Ticket:
        """Take a ticket out of the queue. Raises: KeyError."""
        ticket = engine.queue.remove(number)
        self.waiting -= 1
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

    def expect_back(self, engine: Engine, now: float, in_s: float) -> None:
        """A client was refused that comes back so much later: until then it counts as one that waits."""
        self.load_ahead(engine, now + in_s)
        if engine.is_preload and engine.refused_at is None:
            engine.refused_at = now

    def load_ahead(self, engine: Engine, until: float = inf) -> None:
        """Have it started or woken, though nobody waits; not after `until` any more."""
        if engine.state in ABSENT or engine.state is EngineState.ASLEEP:
            engine.preload_until = max(until, engine.preload_until or 0.0)
            self.note_demand(engine)

    def load_no_more(self, engine: Engine) -> None:
        """It need not be there before somebody waits for it."""
        engine.preload_until = engine.refused_at = None
        self.note_demand(engine)

    def stand_at_gate(self, engine: Engine, since: float | None) -> None:
        """A process that a person started waits at the gate since then, or does not any more."""
        engine.at_gate_since = since
        self.note_demand(engine)

    # --- acts ---------------------------------------------------------------------------------------------------

    def move(self, engine: Engine, state: EngineState, now: float, why: str, cause: Cause = Cause.NONE) -> None:
        """Enter `state`. Raises: IllegalMove, with nothing changed."""
        old = engine.state
        engine.move(state, now, why)
        self.journal.note_move(Move(now, engine.model, old, state, why, cause))
        if state in CHANGING:
            self.changing[engine.model] = engine
        else:
            self.changing.pop(engine.model, None)

    def park(self, engine: Engine, now: float, why: str, *, is_ahead: bool = False) -> None:
        """Have the process created that will wait at the gate, while others make room for it, or ahead of that."""
        self._begin_anew(engine, EngineState.PARKED, now, why)
        self._create_process(engine, now, is_ahead=is_ahead)

    def start(self, engine: Engine, devices: tuple[str, ...], now: float, why: str) -> None:
        """Reserve, and have the process created, or let the one that is there already go on as soon as it can."""
        self.ledger.reserve(engine.model, Placing(devices, self.start_bytes(engine)))
        has_process = engine.state is EngineState.PARKED or engine.at_gate_since is not None
        self._begin_anew(engine, EngineState.STARTING, now, why)
        self.stand_at_gate(engine, None)
        if not has_process:
            self._create_process(engine, now)
        elif engine.is_at_gate:
            self.open_gate(engine, now)

    def _begin_anew(self, engine: Engine, state: EngineState, now: float, why: str) -> None:
        """Nothing of its last life counts any more."""
        self.move(engine, state, now, why)
        engine.failure, engine.is_gate_open, engine.is_adopted, engine.sleep_level = None, False, False, 0

    def _create_process(self, engine: Engine, now: float, *, is_ahead: bool = False) -> None:
        engine.is_at_gate, engine.is_due_at_gate, engine.process_since = False, True, now
        engine.is_ahead, engine.import_s = is_ahead, 0.0
        engine.method = Method.PLAIN  # until it is told what to prepare, and says what it can do
        self.commands.append(messages.StartEngine(engine.model, is_ahead))

    def open_gate(self, engine: Engine, now: float) -> None:
        """Let the process at the gate become the engine for which memory is reserved."""
        engine.is_gate_open, engine.gate_opened_at, engine.is_at_gate, engine.is_silent = True, now, False, False
        engine.phase = None
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
        engine.is_asked, engine.rung, engine.is_stopped_at_once, engine.keep_alive_s = False, None, at_once, None
        self.commands.append(messages.StopEngine(engine.model, at_once))

    def fail(self, engine: Engine, error: errors.EngineStartFailed, now: float) -> None:
        """A start failed: tell all who wait, clean up, and cool down after that."""
        engine.failure = error
        engine.failures += 1
        wait_s = self.limits.cool_down_after(error.lasts, engine.failures)
        self.reject_all(engine, error, now, retry_after_s=wait_s if isfinite(wait_s) else None)
        self.stop(engine, now, error.message.partition("\n")[0], at_once=True)

    def escalate(self, engine: Engine, detail: str, now: float) -> None:
        """A sleep or a wake failed: count it and end the process; who waits gets a cold start."""
        level = engine.sleep_level
        engine.failed_sleeps[level] = engine.failed_sleeps.get(level, 0) + 1
        engine.escalations += 1
        engine.last_escalation = f"level {level}: {detail}" if level else detail
        self.stop(engine, now, detail, at_once=True)

    def send_away(self, engine: Engine, error: errors.RotaError, now: float) -> None:
        """Nobody who waits for `engine` gets it."""
        self.reject_all(engine, error, now, retry_after_s=error.retry_after_s)
        if engine.at_gate_since is not None:
            self.stand_at_gate(engine, None)
            self.commands.append(messages.CloseGate(engine.model, error))

    def grant(self, engine: Engine, now: float) -> None:
        """Let the next ticket in the queue have a lease."""
        ticket = self.leave_queue(engine, engine.queue.next(now).number)
        if ticket.keep_alive_s is not None:
            engine.keep_alive_s = ticket.keep_alive_s
        answer = Granted(now, engine.model, ticket.number, now - ticket.arrived_at, len(engine.leases))
        self.journal.note_answer(answer)
        engine.leases[ticket.number] = now
        if ticket.is_by_hand:
            engine.by_hand.add(ticket.number)
        self.commands.append(messages.Grant(ticket.number))

    def reject_all(
        self, engine: Engine, error: errors.RotaError, now: float, retry_after_s: float | None = None
    ) -> None:
        """End all tickets that wait for `engine`."""
        for ticket in list(engine.queue):
            self.reject(ticket, error.again(retry_after_s), now)

    def reject(self, ticket: int, error: errors.RotaError, now: float) -> None:
        """End one ticket that waits."""
        engine = self.holder_of.pop(ticket)
        self.leave_queue(engine, ticket)
        self.refuse(engine, ticket, error, now)

    def refuse(self, engine: Engine, ticket: int, error: errors.RotaError, now: float) -> None:
        """Send one ticket away that is in no queue."""
        self.journal.note_answer(Refused(now, engine.model, ticket, error.code, error.message))
        self.commands.append(messages.Reject(ticket, error))
