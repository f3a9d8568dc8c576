"""The front of the public port: who has come to it, who has taken too long to say what he wants, and where he goes.

The forwarded paths are found here, beside aiohttp's own router, which costs more than all that is done for a request
otherwise. Rule: what is not forwarded goes to the application, as if this were not there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from proxy.core.endpoints import Endpoint, Key
from proxy.web.asked import Asked
from proxy.web.door import Door
from proxy.web.forward import Forwarder
from proxy.web.server import KEEP_ALIVE_S, SETTINGS, Client

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FIRST_WORD_S = 1.0
"""For so long a proxy that goes away waits for the first request of a new connection."""
_LOOKS = 20
HEAD_TIMEOUT_S = 30.0
"""Within it a new connection has sent the head of its first request."""


class Front:
    """Makes the connections of the public port: doors, which become those of `server`, aiohttp's, where they must."""

    def __init__(self, server: web.Server, forwarder: Forwarder, endpoints: Iterable[Endpoint]) -> None:
        self.is_closing = False
        self._server = server
        self._forwarder = forwarder
        self._application: Handler = server.request_handler
        self._by_path = {(one.method, one.path): one for one in endpoints}
        self._plain = {path: one for (method, path), one in self._by_path.items() if one.key is Key.JSON}
        self._loop = asyncio.get_running_loop()
        self._doors: set[Door] = set()
        self._silent: dict[web.RequestHandler, float] = {}
        """Connections of aiohttp's that have sent no whole head yet, and since when, the oldest first."""
        self._sweep: asyncio.TimerHandle | None = None
        server.request_handler = self.handle

    def __repr__(self) -> str:
        return f"<Front {len(self._by_path)} paths, {len(self._doors)} doors>"

    def __call__(self) -> Door:
        """A new connection: its protocol, for asyncio."""
        door = Door(self, self._loop.time() + HEAD_TIMEOUT_S)
        self._doors.add(door)
        self._watch()
        return door

    def handle(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """One request that aiohttp has read the head of."""
        if self._silent:
            self._silent.pop(request.protocol, None)
        target = request.raw_path
        if not target.startswith("/"):  # in absolute form: what stands before the path is the client's view of us
            target = request.rel_url.raw_path_qs
        path, _, _ = target.partition("?")
        if (endpoint := self._by_path.get((request.method, path))) is None:
            return self._application(request)
        return self._forwarder.forward(Asked.of(request, target), endpoint)

    async def close(self, timeout_s: float) -> None:
        """Take no other request of a door's; those that are under way have `timeout_s` to come to their end."""
        self.is_closing = True
        known = [door for door in self._doors if not door.is_new]
        busy = {task for door in known if (task := door.close()) is not None}
        await self._hear_out()
        busy |= {task for door in list(self._doors) if (task := door.close()) is not None}
        if busy:
            _, late = await asyncio.wait(busy, timeout=timeout_s)
            for task in late:
                task.cancel()
        if self._sweep is not None:
            self._sweep.cancel()

    async def _hear_out(self) -> None:
        """Who has just come, and has not said a word yet, may: his connection was taken, and nobody else has it."""
        for _ in range(_LOOKS):
            if not any(door.is_new for door in self._doors):
                return
            await asyncio.sleep(FIRST_WORD_S / _LOOKS)

    # --- for doors ------------------------------------------------------------------------------------------------

    def plain_endpoint(self, path: str) -> Endpoint | None:
        """Who answers a POST to `path` whose body is JSON, if that is forwarded."""
        return self._plain.get(path)

    def answer(self, asked: Asked, endpoint: Endpoint) -> Awaitable[web.StreamResponse]:
        """Have it forwarded."""
        return self._forwarder.forward(asked, endpoint)

    def idle_until(self) -> float:
        """How long a connection is kept that has no request now, in the loop's time."""
        return self._loop.time() + KEEP_ALIVE_S

    def whole_until(self) -> float:
        """How long a request may take to come as a whole before it is aiohttp's, in the loop's time."""
        return self._loop.time() + HEAD_TIMEOUT_S

    def take_over(self) -> web.RequestHandler:
        """A protocol of aiohttp's for the connection of a door."""
        protocol = Client(self._server, loop=self._loop, **SETTINGS)
        self._silent[protocol] = self._loop.time()
        self._watch()
        return protocol

    def forget(self, door: Door) -> None:
        """It has ended, or has handed its connection over."""
        self._doors.discard(door)

    # --- who takes too long ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._sweep is None:
            self._sweep = self._loop.call_later(HEAD_TIMEOUT_S / 4, self._cut_off)

    def _cut_off(self) -> None:
        now = self._loop.time()
        for protocol, since in list(self._silent.items()):
            if since > now - HEAD_TIMEOUT_S:
                break
            del self._silent[protocol]
            protocol.force_close()
        for door in [door for door in self._doors if door.closes_at <= now]:
            door.expire()
        self._sweep = None
        if self._silent or self._doors:
            self._watch()
