"""The fleet: owns the scheduler, has its commands run (`commands`) and feeds what happened back as events.

Rule: one writer. `feed()` is synchronous, so the event loop is the lock.
Nobody reads a state here and then acts on it: they ask for the whole thing, `leases.take()` or `asking.leave()`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from proxy.asking import Asking
from proxy.commands import Commands, Forgets
from proxy.core import messages
from proxy.core.explain import Explanation
from proxy.core.ledger import Ledger
from proxy.core.messages import Event
from proxy.core.scheduler import Scheduler
from proxy.core.states import AWAKE, EngineState
from proxy.core.tally import Tally
from proxy.core.views import EngineView
from proxy.core.waiters import Waiter
from proxy.core.whatif import WhatIf
from proxy.entries import Entries
from proxy.happenings import Happenings
from proxy.keeper import Keeper
from proxy.leases import Leases
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.host import Host
from proxy.lifecycle.launching import Launching
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.upgrades import Upgrades
from proxy.lifecycle.watch import Watch
from proxy.tasks import Tasks

log = logging.getLogger(__name__)

MEMORY_INTERVAL_S = 1.0
"""How often the devices are looked at: strangers are to be seen within two seconds."""
VLLM_INTERVAL_S = 30.0
"""How often it is looked whether vLLM was installed anew."""


class Fleet:
    """All engines of one catalog."""

    def __init__(
        self,
        *,
        entries: Entries,
        programs: Forgets,
        scheduler: Scheduler,
        lifecycle: Lifecycle,
        launching: Launching,
        watch: Watch,
        memory: Memory,
        keeper: Keeper,
        preloads: Collection[str] = (),
        poll_interval_s: float,
    ) -> None:
        self._entries = entries
        self._scheduler = scheduler
        self._lifecycle = lifecycle
        self._launching = launching
        self._watch = watch
        self._memory = memory
        self._keeper = keeper
        self._preloads = preloads
        self._poll_interval_s = poll_interval_s
        self._look_now = asyncio.Event()
        self._asking_why = asyncio.Lock()
        self._tasks = Tasks(on_crash=self.look_now)
        self._commands = Commands(lifecycle, launching, entries, programs, self._tasks, self.feed)
        self._host = Host()
        self._upgrades = Upgrades()
        self.asking = Asking(self._commands.gates, launching, scheduler, self._upgrades, self.feed)
        self.leases = Leases(
            scheduler=scheduler, commands=self._commands, entries=entries, launching=launching, feed=self.feed
        )
        self._is_closing = False
        self.tally = Tally()
        self.happenings = Happenings()
        watch.notice = self.look_now
        launching.starts.begun = lambda model, phase: self.feed(messages.PhaseBegun(model, phase))
        launching.starts.heard = lambda model, is_silent: self.feed(messages.StartHeard(model, is_silent))

    def __repr__(self) -> str:
        return f"<Fleet {self._commands!r} {self._scheduler!r}>"

    # --- the ways in ----------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Give the scheduler one event and see that its commands are run."""
        try:
            commands = self._scheduler.handle(event, self._now())
            moves = self._scheduler.moves()
            self.tally.note(moves)
            self.happenings.note(event, self._scheduler)
            for move in moves:
                log.info("%s: %s -> %s (%s)", move.model, move.old, move.new, move.why)
            self._keeper.keep(self._scheduler)
            if not self._is_closing:  # else those who wait have been told, and the engines are the next proxy's
                for command in commands:
                    self._commands.run(command)
        except Exception as error:
            self._tasks.end_with(error)
            raise

    def stop(self, model: str, who: str, *, at_once: bool = False) -> None:
        """Drain `model`'s engine and stop it, or break its requests off and end it `at_once`; returns at once."""
        self.feed(messages.StopAsked(model, who, at_once))

    def pin(self, model: str, *, is_pinned: bool) -> None:
        """Have `model`'s engine make room for nobody, or for others again, whatever the catalog says."""
        self.feed(messages.PinSet(model, is_pinned))

    def sleep(self, model: str, level: int, who: str) -> None:
        """Drain `model`'s engine and put it to sleep; returns at once. Raises: CannotSleep."""
        if (error := self._scheduler.why_not_sleep(model, level)) is not None:
            raise error
        self.feed(messages.SleepAsked(model, level, who))

    def has(self, model: str) -> bool:
        """Whether there is such an engine; also one that the catalog has not any more, while it serves to the end."""
        return model in self._scheduler.states()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside all else; a bug in it ends the fleet."""
        self._tasks.run(work)

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

    def explain(self, model: str) -> Explanation:
        """Why `model`'s engine is where it is, and what was decided about it of late."""
        return self._scheduler.explain(model, self._now())

    def outlook(self, model: str) -> str:
        """What a client that waits for `model` is told, in one line."""
        return self._scheduler.outlook(model, self._now())

    def what_if(self, models: Sequence[str]) -> WhatIf:
        """What it would take to have all of `models` up at once. Nothing is done."""
        return self._scheduler.what_if(models, self._now())

    def view(self) -> list[EngineView]:
        """All engines at this moment."""
        return self._scheduler.view(self._now())

    def waiters(self) -> dict[str, tuple[Waiter, ...]]:
        """Who waits, by model."""
        return self._scheduler.waiters(self._now())

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
        for event in self._keeper.remembered():
            self.feed(event)
        adopted = await self._lifecycle.adopt()
        await self._look_at_memory()  # what they hold must be known before one of them is ended
        for found in adopted:
            self.feed(found)
            if found.sleep_level is None and not found.is_outdated:
                self._commands.await_ready(found.model)
        await self._look_at_memory()
        for model in self._preloads:
            self.feed(messages.PreloadAsked(model))

    async def run(self) -> None:
        """Watch the engines and the devices and let time pass, until cancelled.

        Raises: what a command's task raised; a bug must not pass in silence.
        """
        for look, every_s in (
            (self._look_at_memory, MEMORY_INTERVAL_S),
            (self._look_at_vllm, VLLM_INTERVAL_S),
            (self._take_pulse, self._poll_interval_s),
        ):
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
        self.happenings.close()
        self.leases.close()
        self._tasks.cancel()
        self._watch.close()

    async def _look_at_memory(self) -> None:
        seen = await self._memory.look(self._scheduler.states(), dict(self.ledger.placings))
        for event in [*seen, *self._host.look()]:
            self.feed(event)

    async def _look_at_vllm(self) -> None:
        states = self._scheduler.states()
        for event in await self._upgrades.look([model for model, now in states.items() if now is EngineState.PARKED]):
            self.feed(event)

    async def _take_pulse(self) -> None:
        owed = [model for model, requests in self.leases.owed.items() if requests]
        for event in await self._watch.take_pulse(self._scheduler.states(), self._scheduler.busy(), owed):
            self.feed(event)

    async def _again(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await look()
            await asyncio.sleep(every_s)

    # --- small things ---------------------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
