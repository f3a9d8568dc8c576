"""The door of the public port: who has come to it, who has taken too long to say what he wants, and where he goes.

The forwarded paths are found here, beside aiohttp's own router, which costs more than all that is done for a request
otherwise. Rule: what is not forwarded goes to the application, as if this were not there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from proxy.core.endpoints import Endpoint
from proxy.web.forward import Forwarder

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEAD_TIMEOUT_S = 30.0
"""Within it a new connection has sent the head of its first request."""
KEEP_ALIVE_S = 75.0
"""A connection that has no request for so long is closed; nginx's own default."""


class Front:
    """Handles the requests of `server`, aiohttp's, and makes its connections."""

    def __init__(self, server: web.Server, forwarder: Forwarder, endpoints: Iterable[Endpoint]) -> None:
        self._server = server
        self._forwarder = forwarder
        self._application: Handler = server.request_handler
        self._by_path = {(one.method, one.path): one for one in endpoints}
        self._loop = asyncio.get_running_loop()
        self._silent: dict[web.RequestHandler, float] = {}
        """Connections whose first request has not come, and since when they are there, the oldest first."""
        self._sweep: asyncio.TimerHandle | None = None
        server.request_handler = self.handle

    def __repr__(self) -> str:
        return f"<Front {len(self._by_path)} paths>"

    def handle(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """One request, whose head has come."""
        if self._silent:
            self._silent.pop(request.protocol, None)
        target = request.raw_path
        if not target.startswith("/"):  # in absolute form: what stands before the path is the client's view of us
            target = request.rel_url.raw_path_qs
        path, _, _ = target.partition("?")
        if (endpoint := self._by_path.get((request.method, path))) is None:
            return self._application(request)
        return self._forwarder.forward(request, endpoint, target)

    def __call__(self) -> web.RequestHandler:
        """A new connection: its protocol, for asyncio."""
        protocol = self._server()
        self._silent[protocol] = self._loop.time()
        if self._sweep is None:
            self._sweep = self._loop.call_later(HEAD_TIMEOUT_S / 4, self._cut_off)
        return protocol

    def _cut_off(self) -> None:
        latest = self._loop.time() - HEAD_TIMEOUT_S
        for protocol, since in list(self._silent.items()):
            if since > latest:
                break
            del self._silent[protocol]
            protocol.force_close()
        self._sweep = self._loop.call_later(HEAD_TIMEOUT_S / 4, self._cut_off) if self._silent else None
