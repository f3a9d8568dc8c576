"""The fleet: owns the scheduler, runs its commands and feeds what happened back as events.

Rule: one writer. `feed()` is synchronous, so the event loop is the lock; each command that takes time is one task.
Nobody reads a state here and then acts on it: they ask for the whole thing, `lease()` or `ask_gate()`.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import assert_never

from catalog.render import Launch
from catalog.spec import Catalog, ModelSpec
from proxy.core import messages
from proxy.core.errors import EngineStartFailed, RotaError, ShuttingDown
from proxy.core.ledger import Ledger
from proxy.core.messages import Command, Event
from proxy.core.roster import EngineView
from proxy.core.scheduler import Scheduler
from proxy.core.states import RUNS
from proxy.lifecycle import Lifecycle

log = logging.getLogger(__name__)


class Fleet:
    """All engines of one catalog on one device."""

    def __init__(self, *, catalog: Catalog, scheduler: Scheduler, lifecycle: Lifecycle, poll_interval_s: float) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        self._lifecycle = lifecycle
        self._poll_interval_s = poll_interval_s
        self._ticket_numbers = itertools.count(1)
        self._tickets: dict[int, asyncio.Future[None]] = {}
        self._gates: dict[str, tuple[int, asyncio.Future[Launch]]] = {}
        self._look_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready_tasks: dict[str, asyncio.Task[None]] = {}
        self._crash: BaseException | None = None
        self._is_closing = False

    def __repr__(self) -> str:
        return f"<Fleet {len(self._tickets)} tickets {self._scheduler!r}>"

    # --- the ways in ----------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Give the scheduler one event and see that its commands are run."""
        try:
            before = self._scheduler.states()
            commands = self._scheduler.handle(event, self._now())
            for model, state in self._scheduler.states().items():
                if state is not before[model]:
                    log.info("%s: %s -> %s, by %s", model, before[model], state, type(event).__name__)
            for command in commands:
                self._run(command)
        except Exception as error:
            self._end_with(error)
            raise

    @asynccontextmanager
    async def lease(self, model: str, *, by_hand: bool = False) -> AsyncIterator[ModelSpec]:
        """The right to use `model`'s engine while it is READY: queueing, starting and draining are hidden in here.

        A person who asks for it, `by_hand`, does not wait for the end of a cool-down.

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

    async def ask_gate(self, model: str, pid: int) -> Launch:
        """Leave for the process `pid` to become `model`'s engine; it waits here until there is room.

        Raises: RotaError if it may not.
        """
        await self._lifecycle.check_asker(model, pid)
        answer: asyncio.Future[Launch] = asyncio.get_running_loop().create_future()
        self._gates[model] = pid, answer
        try:
            self.feed(messages.GateAsked(model))
            return await answer
        finally:
            # Only if no newer process of the same model has taken this place at the gate meanwhile.
            if self._gates.get(model) == (pid, answer):
                del self._gates[model]
                self.feed(messages.GateLeft(model))

    def stop(self, model: str) -> None:
        """Drain `model`'s engine and stop it; returns at once."""
        self.feed(messages.StopAsked(model))

    def look_now(self) -> None:
        """Something looks wrong with an engine: ask supervisord now, not at the next tick."""
        self._look_now.set()

    def view(self) -> list[EngineView]:
        """All engines at this moment."""
        return self._scheduler.view(self._now())

    @property
    def ledger(self) -> Ledger:
        """The reservations, to look at."""
        return self._scheduler.ledger

    async def held_bytes(self) -> dict[str, int]:
        """What each engine's processes hold on the device now, by model; measured, not reserved."""
        return await self._lifecycle.held_bytes()

    def group_of(self, model: str) -> int | None:
        """The process group of `model`'s engine, if it was launched."""
        return self._lifecycle.group_of(model)

    # --- life -----------------------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Take over the engines that run already; to be called once, before the gate opens."""
        for model in await self._lifecycle.adopt():
            self.feed(messages.EngineFound(model))
            self._watch_ready(model)

    async def run(self) -> None:
        """Watch supervisord and let time pass, until cancelled.

        Raises: what a command's task raised; a bug must not pass in silence.
        """
        while self._crash is None:
            for event in await self._lifecycle.look(self._running):
                self.feed(event)
            self.feed(messages.Tick())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._poll_interval_s)
            self._look_now.clear()
        raise self._crash

    def close(self) -> None:
        """Send away all who wait and end all tasks. Engines go on: the next proxy adopts them."""
        self._is_closing = True
        for granted in self._tickets.values():
            if not granted.done():
                granted.set_exception(self._going_away())
        for model in self._gates:
            self._answer_gate(model, self._going_away())
        for task in self._tasks:
            task.cancel()

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
                self._begin(self._lifecycle.start, model)
            case messages.OpenGate(model):
                self._begin(self._open_gate, model)
            case messages.CloseGate(model, error):
                self._answer_gate(model, error)
            case messages.StopEngine(model):
                if (watching := self._ready_tasks.pop(model, None)) is not None:
                    watching.cancel()
                self._begin(self._lifecycle.stop, model)
            case _:
                assert_never(command)

    async def _open_gate(self, model: str) -> Event | None:
        asked = self._gates.get(model)
        try:
            launch = None if asked is None else await self._lifecycle.launch(model, asked[0])
        except EngineStartFailed as error:
            if self._gates.get(model) is not asked:
                return None
            self._answer_gate(model, error)
            return messages.StartFailed(model, error)
        if launch is None or self._gates.get(model) is not asked:
            # It left, or a newer process took its place, while the gate opened: supervisord will tell which.
            self._lifecycle.expect(model)
            return None
        self._answer_gate(model, launch)
        self._watch_ready(model)
        return None

    def _answer_gate(self, model: str, answer: Launch | RotaError) -> None:
        if model not in self._gates or self._gates[model][1].done():
            return
        _, waiting = self._gates[model]
        if isinstance(answer, RotaError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    # --- small things ---------------------------------------------------------------------------------------------

    def _running(self) -> list[str]:
        return [model for model, state in self._scheduler.states().items() if state in RUNS]

    def _watch_ready(self, model: str) -> None:
        self._ready_tasks[model] = self._begin(self._lifecycle.wait_ready, model)

    def _begin(self, act: Callable[[str], Awaitable[Event | None]], model: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._report(act, model))
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    async def _report(self, act: Callable[[str], Awaitable[Event | None]], model: str) -> None:
        if (event := await act(model)) is not None:
            self.feed(event)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_with(error)

    def _end_with(self, error: BaseException) -> None:
        """A bug: `run()` raises it, the proxy ends, and the next one adopts the engines."""
        self._crash = self._crash or error
        self._look_now.set()

    @staticmethod
    def _going_away() -> ShuttingDown:
        return ShuttingDown("the proxy is going away; the engines go on", retry_after_s=2.0)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
