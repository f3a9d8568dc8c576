"""The fleet: owns the scheduler, runs its commands and feeds what happened back as events.

Rule: one writer. `feed()` is synchronous, so the event loop is the lock; each command that takes time is one task.
Nobody reads a state here and then acts on it: they ask for the whole thing, `lease()` or `ask_gate()`.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import assert_never

from catalog.render import Launch
from catalog.spec import Catalog, ModelSpec
from proxy.adapters.state_files import StateFile
from proxy.core import messages
from proxy.core.errors import EngineStartFailed, ShuttingDown
from proxy.core.ledger import Ledger
from proxy.core.messages import Command, Event
from proxy.core.roster import EngineView
from proxy.core.scheduler import Scheduler
from proxy.core.states import AWAKE
from proxy.gates import Gates
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.watch import Watch
from proxy.tasks import Tasks

log = logging.getLogger(__name__)

MEMORY_INTERVAL_S = 1.0
"""How often the devices are looked at: strangers are to be seen within two seconds."""

Act = Callable[[], Awaitable[list[Event]]]


class Fleet:
    """All engines of one catalog."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        scheduler: Scheduler,
        lifecycle: Lifecycle,
        watch: Watch,
        memory: Memory,
        stops: StateFile[dict[str, str]],
        poll_interval_s: float,
    ) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        self._lifecycle = lifecycle
        self._watch = watch
        self._memory = memory
        self._stops = stops
        self._poll_interval_s = poll_interval_s
        self._ticket_numbers = itertools.count(1)
        self._tickets: dict[int, asyncio.Future[None]] = {}
        self._gates = Gates()
        self._owed: Counter[str] = Counter()
        self._look_now = asyncio.Event()
        self._asking_why = asyncio.Lock()
        self._tasks = Tasks(on_crash=self.look_now)
        self._acting: dict[str, asyncio.Task[None]] = {}
        """What is done to an engine now; a stop cuts it short."""
        self._is_closing = False
        watch.notice = self.look_now

    def __repr__(self) -> str:
        return f"<Fleet {len(self._tickets)} tickets {self._scheduler!r}>"

    # --- the ways in ----------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Give the scheduler one event and see that its commands are run."""
        try:
            before, stopped = self._scheduler.states(), self._scheduler.stopped_by_hand()
            commands = self._scheduler.handle(event, self._now())
            for view in self._scheduler.view(self._now()):
                if view.state is not before[view.model]:
                    log.info("%s: %s -> %s (%s)", view.model, before[view.model], view.state, view.why)
            if (now_stopped := self._scheduler.stopped_by_hand()) != stopped:
                self._stops.write(now_stopped)
            for command in commands:
                self._run(command)
        except Exception as error:
            self._tasks.end_with(error)
            raise

    @asynccontextmanager
    async def lease(self, model: str, *, by_hand: str | None = None) -> AsyncIterator[ModelSpec]:
        """The right to use `model`'s engine while it is READY: queueing, starting and draining are hidden in here.

        A person who asks for it, `by_hand`, does not wait for the end of a cool-down and undoes a stop by hand.

        Raises: RotaError if the engine cannot be had.
        """
        if self._is_closing:
            raise self._going_away()
        ticket = next(self._ticket_numbers)
        self._tickets[ticket] = asyncio.get_running_loop().create_future()
        try:
            self.feed(messages.RequestArrived(ticket, model, by_hand))
            await self._tickets[ticket]
            yield self._catalog.models[model]
        finally:
            # The grant and the client's leaving may fall into the same loop step. The scheduler then counts a lease
            # that nobody uses, so the ticket is ended in any case, whatever became of it.
            del self._tickets[ticket]
            self.feed(messages.RequestEnded(ticket))

    @contextmanager
    def owing(self, model: str) -> Iterator[None]:
        """While in it, `model`'s engine has a request and has not begun to answer: its pulse must tell of work."""
        self._owed[model] += 1
        try:
            yield
        finally:
            self._owed[model] -= 1

    async def ask_gate(self, model: str, pid: int) -> Launch:
        """Leave for the process `pid` to become `model`'s engine; it waits here until there is room.

        Raises: RotaError if it may not.
        """
        await self._lifecycle.check_asker(model, pid)
        asked = self._gates.ask(model, pid)
        try:
            self.feed(messages.GateAsked(model))
            return await asked.answer
        finally:
            if self._gates.leave(model, asked):
                self.feed(messages.GateLeft(model))

    def stop(self, model: str, who: str) -> None:
        """Drain `model`'s engine and stop it; returns at once."""
        self.feed(messages.StopAsked(model, who))

    def sleep(self, model: str, level: int, who: str) -> None:
        """Drain `model`'s engine and put it to sleep; returns at once. Raises: CannotSleep."""
        if (error := self._scheduler.why_not_sleep(model, level)) is not None:
            raise error
        self.feed(messages.SleepAsked(model, level, who))

    def look_now(self) -> None:
        """Something looks wrong with an engine: ask supervisord now, not at the next tick."""
        self._look_now.set()

    async def refused(self, model: str) -> None:
        """`model`'s engine refused a connection: it ends, or hangs in its end, and serves nobody any more.

        Whether a person ends it is asked first: that is no crash, and nothing that a request may undo.
        """
        async with self._asking_why:
            if self._scheduler.states()[model] in AWAKE:
                for event in await self._watch.look(self._scheduler.states):
                    self.feed(event)
        if self._scheduler.states()[model] in AWAKE:
            self.feed(messages.EngineDown(model, "it refuses connections"))

    def view(self) -> list[EngineView]:
        """All engines at this moment."""
        return self._scheduler.view(self._now())

    def misfits(self) -> dict[str, str]:
        """Why, by model, those cannot run that fit on no device of this machine even alone."""
        return self._scheduler.misfits()

    @property
    def ledger(self) -> Ledger:
        """The reservations, to look at."""
        return self._scheduler.ledger

    # --- life -----------------------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Take over the engines that run already; to be called once, before the gate opens."""
        for model, who in self._stops.read().items():
            self.feed(messages.StopRemembered(model, who))
        for found in await self._lifecycle.adopt():
            self.feed(found)
            if found.sleep_level is None:
                self._begin(found.model, lambda model=found.model: self._lifecycle.wait_ready(model))  # type: ignore[misc]
        await self._look_at_memory()

    async def run(self) -> None:
        """Watch the engines and the devices and let time pass, until cancelled.

        Raises: what a command's task raised; a bug must not pass in silence.
        """
        for look, every_s in ((self._look_at_memory, MEMORY_INTERVAL_S), (self._take_pulse, self._poll_interval_s)):
            self._tasks.run(self._again(look, every_s))
        while self._tasks.crash is None:
            for event in await self._watch.look(self._scheduler.states):
                self.feed(event)
            self.feed(messages.Tick())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._poll_interval_s)
            self._look_now.clear()
        raise self._tasks.crash

    def close(self) -> None:
        """Send away all who wait and end all tasks. Engines go on: the next proxy adopts them."""
        self._is_closing = True
        for granted in self._tickets.values():
            if not granted.done():
                granted.set_exception(self._going_away())
        self._gates.answer_all(self._going_away())
        self._tasks.cancel()
        self._watch.close()

    async def _look_at_memory(self) -> None:
        for event in await self._memory.look(self._scheduler.states(), dict(self.ledger.placings)):
            self.feed(event)

    async def _take_pulse(self) -> None:
        owed = [model for model, requests in self._owed.items() if requests]
        for event in await self._watch.take_pulse(self._scheduler.states(), self._scheduler.busy(), owed):
            self.feed(event)

    async def _again(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await look()
            await asyncio.sleep(every_s)

    # --- commands -------------------------------------------------------------------------------------------------

    def _run(self, command: Command) -> None:
        if self._is_closing:
            return  # those who wait have been told, and the engines are the next proxy's
        match command:
            case messages.Grant(ticket):
                if (granted := self._tickets.get(ticket)) and not granted.done():
                    granted.set_result(None)
            case messages.Reject(ticket, error):
                if (granted := self._tickets.get(ticket)) and not granted.done():
                    granted.set_exception(error)
            case messages.StartEngine(model):
                # Never cancelled: a stop must find what supervisord was told to start.
                self._tasks.run(self._report(lambda: self._lifecycle.start(model)))
            case messages.OpenGate(model, devices, awake_bytes):
                self._begin(model, lambda: self._open_gate(model, devices, awake_bytes))
            case messages.CloseGate(model, error):
                self._gates.answer(model, error)
            case messages.SleepEngine(model, level):
                self._begin(model, lambda: self._lifecycle.sleep(model, level))
            case messages.WakeEngine(model, level):
                self._begin(model, lambda: self._lifecycle.wake(model, level))
            case messages.StopEngine(model, at_once):
                if (acting := self._acting.pop(model, None)) is not None:
                    acting.cancel()
                self._tasks.run(self._report(lambda: self._lifecycle.stop(model, at_once)))
            case _:
                assert_never(command)

    async def _open_gate(self, model: str, devices: tuple[str, ...], awake_bytes: int) -> list[Event]:
        asked = self._gates.waiting(model)
        try:
            launch = None if asked is None else await self._lifecycle.launch(model, asked.pid, devices, awake_bytes)
        except EngineStartFailed as error:
            if self._gates.waiting(model) is not asked:
                return []
            self._gates.answer(model, error)
            return [messages.StartFailed(model, error)]
        if launch is None or self._gates.waiting(model) is not asked:
            # It left, or a newer process took its place, while the gate opened: supervisord will tell which.
            self._lifecycle.expect(model)
            return []
        self._gates.answer(model, launch)
        return await self._lifecycle.wait_ready(model)

    # --- small things ---------------------------------------------------------------------------------------------

    def _begin(self, model: str, act: Act) -> None:
        self._acting[model] = self._tasks.run(self._report(act))

    async def _report(self, act: Act) -> None:
        for event in await act():
            self.feed(event)

    @staticmethod
    def _going_away() -> ShuttingDown:
        return ShuttingDown("the proxy is going away; the engines go on", retry_after_s=2.0)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
