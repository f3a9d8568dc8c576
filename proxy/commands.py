"""Runs the scheduler's commands: answers tickets and gates, begins acts on engines, feeds back what became of them.

Rule: it decides nothing. Each command that takes time is one task.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, assert_never

from proxy.core import messages
from proxy.core.errors import EngineStartFailed, RotaError
from proxy.core.messages import Command, Event
from proxy.entries import Entries
from proxy.gates import Gates
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.launching import Launching
from proxy.tasks import Tasks

Act = Callable[[], Awaitable[list[Event]]]


class Forgets(Protocol):
    """Who has supervisord forget programs."""

    async def remove(self, model: str) -> None:
        """`model` is not in the catalog any more, and its engine is gone."""


class Commands:
    """The commands of one fleet; `feed` takes the events that follow."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        launching: Launching,
        entries: Entries,
        programs: Forgets,
        tasks: Tasks,
        feed: Callable[[Event], None],
    ) -> None:
        self.gates = Gates()
        self._entries = entries
        self._programs = programs
        self._lifecycle = lifecycle
        self._launching = launching
        self._tasks = tasks
        self._feed = feed
        self._tickets: dict[int, asyncio.Future[None]] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        """What is done to an engine now; a stop cuts it short."""

    def __repr__(self) -> str:
        return f"<Commands {len(self._tickets)} tickets {self.gates!r}>"

    # --- tickets --------------------------------------------------------------------------------------------------

    def expect_answer(self, ticket: int) -> "asyncio.Future[None]":
        """Done when the ticket is granted; a RotaError where it is refused."""
        self._tickets[ticket] = asyncio.get_running_loop().create_future()
        return self._tickets[ticket]

    def forget(self, ticket: int) -> None:
        """Its request is over. Raises: KeyError."""
        del self._tickets[ticket]

    def send_all_away(self, error: RotaError) -> None:
        """Answer all who wait, for an engine or at a gate."""
        for granted in self._tickets.values():
            if not granted.done():
                granted.set_exception(error)
        self.gates.answer_all(error)

    # --- commands -------------------------------------------------------------------------------------------------

    def run(self, command: Command) -> None:
        """Begin to do it."""
        match command:
            case messages.Grant(ticket):
                if (granted := self._tickets.get(ticket)) and not granted.done():
                    granted.set_result(None)
            case messages.Reject(ticket, error):
                if (granted := self._tickets.get(ticket)) and not granted.done():
                    granted.set_exception(error)
            case messages.StartEngine(model, is_ahead):
                # Never cancelled: a stop must find what supervisord was told to start.
                self._tasks.run(self._report(lambda: self._lifecycle.start(model)))
                if not is_ahead:
                    self.read_weights(model)
            case messages.OpenGate(model, devices, awake_bytes):
                self._begin(model, lambda: self._open_gate(model, devices, awake_bytes))
            case messages.CloseGate(model, error):
                self.gates.answer(model, error)
            case messages.SleepEngine(model, level):
                self._begin(model, lambda: self._lifecycle.sleep(model, level))
            case messages.WakeEngine(model, level):
                self._begin(model, lambda: self._lifecycle.wake(model, level))
            case messages.StopEngine(model, at_once):
                if (acting := self._acting.pop(model, None)) is not None:
                    acting.cancel()
                self._tasks.run(self._report(lambda: self._lifecycle.stop(model, at_once)))
            case messages.UseEntry(model):
                self._entries.use(model)
            case messages.ForgetModel(model):
                self._tasks.run(self._programs.remove(model))
            case _:
                assert_never(command)

    def read_weights(self, model: str) -> None:
        """Have them read into the page cache: somebody waits for `model`, whose engine is down."""
        self._tasks.run(self._lifecycle.read_weights(model))

    async def _open_gate(self, model: str, devices: tuple[str, ...], awake_bytes: int) -> list[Event]:
        asked = self.gates.waiting(model)
        try:
            launch = None if asked is None else await self._launching.launch(model, asked.pid, devices, awake_bytes)
        except EngineStartFailed as error:
            if self.gates.waiting(model) is not asked:
                return []
            self.gates.answer(model, error)
            return [messages.StartFailed(model, error)]
        if launch is None or self.gates.waiting(model) is not asked:
            # It left, or a newer process took its place, while the gate opened: supervisord will tell which.
            self._launching.expect(model)
            return []
        self.gates.answer(model, launch)
        return await self._lifecycle.wait_ready(model)

    def await_ready(self, model: str) -> None:
        """Wait until an engine is ready that was found running."""
        self._begin(model, lambda: self._lifecycle.wait_ready(model))

    def _begin(self, model: str, act: Act) -> None:
        self._acting[model] = self._tasks.run(self._report(act))

    async def _report(self, act: Act) -> None:
        for event in await act():
            self._feed(event)
