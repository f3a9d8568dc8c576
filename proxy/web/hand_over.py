"""The way to hand the public port over, for the Unix socket: who restarts the proxy keeps it for the next one."""

import asyncio
from pathlib import Path

from aiohttp import web

from proxy.adapters import handed_sockets
from proxy.core.errors import InvalidRequest
from proxy.web.listening import Listening


class HandOver:
    """Gives away the sockets that are listened on, once there are any."""

    def __init__(self, path: Path) -> None:
        self.listening: Listening | None = None
        self._path = path

    def __repr__(self) -> str:
        return f"<HandOver {self._path}>"

    def routes(self) -> list[web.RouteDef]:
        """For the box's own people only."""
        return [web.post("/hand-over", self.hand_over)]

    async def hand_over(self, _: web.Request) -> web.Response:
        """Have the listening sockets kept by who asks for it; they are listened on until this proxy ends.

        Raises: InvalidRequest where nobody keeps them.
        """
        sockets = [] if self.listening is None else self.listening.sockets
        try:
            await asyncio.to_thread(handed_sockets.give, self._path, sockets)
        except OSError as error:
            raise InvalidRequest(f"nobody keeps sockets at {self._path}: {error}") from error
        return web.json_response({"sockets": len(sockets)})
