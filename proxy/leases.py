"""Leases: one request's right to use a READY engine. Queueing, starting and draining are hidden in here.

Rule: every lease is given back once, whatever becomes of its request.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from catalog.spec import ModelSpec
from proxy.commands import Commands
from proxy.core import messages
from proxy.core.errors import EngineNotUp, ShuttingDown
from proxy.core.messages import Event
from proxy.core.scheduler import Scheduler
from proxy.core.states import AWAKE, EngineState, Swap, swap_from
from proxy.core.wishes import NO_WISHES, Wishes
from proxy.entries import Entries
from proxy.lifecycle.launching import Launching

LOOK_AGAIN_S = 10.0
"""For who asks about an engine that is not up: nobody knows when it will be."""
_NO_SWAP = Swap.NONE  # as in proxy.upstream.answer


class Lease:
    """One lease: of which engine, how long it was waited for (s), and what the engine had to do for it."""

    __slots__ = ("spec", "swap", "ticket", "waited_s")

    def __init__(self, ticket: int, spec: ModelSpec, waited_s: float, swap: Swap) -> None:
        self.ticket = ticket
        self.spec = spec
        self.waited_s = waited_s
        self.swap = swap

    def __repr__(self) -> str:
        return f"<Lease {self.ticket} of {self.spec.name}>"


class Leases:
    """The leases of one fleet; `feed` gives its scheduler an event."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        commands: Commands,
        entries: Entries,
        launching: Launching,
        feed: Callable[[Event], None],
    ) -> None:
        self._scheduler = scheduler
        self._commands = commands
        self._specs = entries.specs
        self._launching = launching
        self._feed = feed
        self._numbers = itertools.count(1)
        self._now = asyncio.get_running_loop().time
        self.is_closing = False
        """Nobody is taken in any more: the proxy is going away."""
        self.owed: Counter[str] = Counter()
        """By model: requests that its engine has and has not begun to answer, so that its pulse must tell of work."""

    def __repr__(self) -> str:
        return f"<Leases {sum(self.owed.values())} owed>"

    def take_now(self, model: str, wishes: Wishes = NO_WISHES) -> Lease | None:
        """A lease of `model`'s engine where it is READY and free; None where one would have to wait or to decide.

        It is to be given back with `end`.
        """
        if self.is_closing:
            return None
        ticket = next(self._numbers)
        if not self._scheduler.grant_at_once(model, ticket, wishes.keep_alive_s, self._now()):
            return None
        return Lease(ticket, self._specs[model], 0.0, _NO_SWAP)

    def is_ready(self, model: str) -> bool:
        """Whether nothing has to be done to its engine for a request."""
        return self._scheduler.states().get(model) is EngineState.READY

    def ready_specs(self) -> list[ModelSpec]:
        """The models whose engines are READY."""
        return [self._specs[model] for model, state in self._scheduler.states().items() if state is EngineState.READY]

    def spec(self, model: str) -> ModelSpec | None:
        """The entry that its engine runs by; None where it has left the catalog."""
        return self._specs.get(model)

    def look(self, model: str) -> Lease:
        """For a request that only looks at `model`'s engine: it is no use of it, so that nothing is to be given back.

        Raises: EngineNotUp where it does not serve now.
        """
        if self._scheduler.states().get(model) not in AWAKE:
            raise not_up(model)
        return Lease(0, self._specs[model], 0.0, _NO_SWAP)

    def end(self, lease: Lease) -> None:
        """Give back what `take_now` gave."""
        if not self._scheduler.end_at_once(lease.ticket, self._now()):
            self._feed(messages.RequestEnded(lease.ticket))

    @asynccontextmanager
    async def take(
        self,
        model: str,
        *,
        by_hand: str | None = None,
        wishes: Wishes = NO_WISHES,
        on_wait: Callable[[], None] | None = None,
        agent_type: str = "",
        key: str = "",
    ) -> AsyncIterator[Lease]:
        """A lease of `model`'s engine, however long that takes.

        A person who asks for it, `by_hand`, does not wait for the end of a cool-down and undoes a stop by hand.
        `wishes` is what the client says of its request: its priority, how long it waits, how long the engine stays.
        `on_wait` is called where it is not refused at once and is not there at once. `agent_type` and `key` say whose
        request it is, for who looks at the queue.

        Raises: RotaError if the engine cannot be had.
        """
        if self._scheduler.is_absent(model):  # nobody makes room for what has no weights
            missing = await asyncio.to_thread(self._launching.why_not, model)
            if missing is not None:
                raise missing
            self._commands.read_weights(model)
        if self.is_closing:
            raise going_away()
        ticket, began_at = next(self._numbers), self._now()
        swap = swap_from(self._scheduler.states().get(model))
        granted = self._commands.expect_answer(ticket)
        try:
            self._feed(
                messages.RequestArrived(
                    ticket=ticket,
                    model=model,
                    by_hand=by_hand,
                    priority=wishes.priority,
                    deadline_s=wishes.deadline_s,
                    keep_alive_s=wishes.keep_alive_s,
                    agent_type=agent_type,
                    key=key,
                )
            )
            if on_wait is not None and not granted.done():
                on_wait()
            await granted
            # The entry that its engine runs by, whatever the catalog says by now.
            yield Lease(ticket, self._specs[model], self._now() - began_at, swap)
        finally:
            # The grant and the client's leaving may fall into the same loop step. The scheduler then counts a lease
            # that nobody uses, so the ticket is ended in any case, whatever became of it.
            self._commands.forget(ticket)
            self._feed(messages.RequestEnded(ticket))

    def close(self) -> None:
        """Nobody is taken in any more, and who waits is sent away."""
        self.is_closing = True
        self._commands.send_all_away(going_away())


def not_up(model: str) -> EngineNotUp:
    """For a request that would have to start or wake an engine, and may not."""
    what = f"the engine of {model} is not up, and this request starts and wakes nothing"
    return EngineNotUp(what, retry_after_s=LOOK_AGAIN_S)


def going_away() -> ShuttingDown:
    """What everybody is told when the proxy ends."""
    return ShuttingDown("the proxy is going away; the engines go on", retry_after_s=2.0)
