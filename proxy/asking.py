"""What a process may ask at the gate: what to do ahead, and for leave to become an engine."""

from collections.abc import Callable

from catalog.render import Launch, Preparation
from proxy.adapters import processes
from proxy.core import messages
from proxy.core.errors import EngineStartFailed
from proxy.core.messages import Event
from proxy.core.methods import Method
from proxy.core.scheduler import Scheduler
from proxy.gates import Gates, Reached
from proxy.lifecycle.launching import Launching
from proxy.lifecycle.upgrades import Upgrades

NOTHING_AHEAD = Preparation(None, {})


class Asking:
    """Of the processes of one fleet; `feed` takes the events that follow."""

    def __init__(
        self,
        gates: Gates,
        launching: Launching,
        scheduler: Scheduler,
        upgrades: Upgrades,
        feed: Callable[[Event], None],
    ) -> None:
        self._upgrades = upgrades
        self._gates = gates
        self._launching = launching
        self._scheduler = scheduler
        self._feed = feed
        self.on_start: Callable[[str], None] | None = None
        """Told the model of a process that a person has started: no proxy told it to."""

    def __repr__(self) -> str:
        return f"<Asking {self._gates!r}>"

    async def preparation(self, model: str, pid: int) -> Preparation:
        """What the process `pid` may do before it asks for leave to become `model`'s engine.

        Raises: GateRefused; EngineStartFailed where a start that was told to begin is bound to fail.
        """
        await self._launching.check_asker(model, pid)
        try:
            preparation = await self._launching.preparation(model)
        except EngineStartFailed as error:
            self._feed(messages.StartFailed(model, error))
            if self._scheduler.moves():
                raise
            return NOTHING_AHEAD  # a person started it: the same error meets it with its leave, and is kept
        if self._scheduler.starts_plainly(model):
            preparation = NOTHING_AHEAD
        # Nobody knows yet whether it can fork; if it fails as it prepares, a plain start may do better all the same.
        method = Method.PLAIN if preparation.executable is None else Method.SPAWN
        await self._upgrades.note(model, preparation.executable)
        self._feed(messages.GatePreparing(model, method))
        return preparation

    async def leave(self, model: str, pid: int) -> Launch:
        """Leave for the process `pid` to become `model`'s engine; it waits here until there is room.

        Raises: RotaError if it may not.
        """
        await self._launching.check_asker(model, pid)
        asked = self._gates.ask(model, pid)
        if self.on_start is not None and not self._scheduler.awaits_process(model):
            self.on_start(model)
        try:
            self._feed(messages.GateAsked(model))
            if (early := self._gates.was_early(model, pid)) is not None:
                self._feed(messages.GateReached(model, early.method, early.host_bytes))
            return await asked.answer
        finally:
            if self._gates.leave(model, asked):
                if not asked.answer.done() or asked.answer.cancelled():
                    self._launching.expect(model)  # it ended, or is being ended: supervisord will tell
                self._feed(messages.GateLeft(model))

    def reached(self, model: str, pid: int, method: Method = Method.PLAIN) -> None:
        """The process `pid` has done what it can without leave; it may say so before its question is heard.

        One that has leave says that it goes on otherwise than it said before.
        """
        reached = Reached(pid, method, processes.resident_bytes([pid]))
        if self._launching.has_leave(model, pid) or self._gates.reach(model, reached):
            self._feed(messages.GateReached(model, reached.method, reached.host_bytes))
