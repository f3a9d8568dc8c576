"""The gate: where `bin/engine` asks for leave to become vLLM. On the Unix socket only.

Rule: the kernel says which process asks, so nobody can ask for another.
"""

import socket
import struct

import msgspec
from aiohttp import web

from proxy.core.routing import Router
from proxy.fleet import Fleet

_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred of <sys/socket.h>


class Gate:
    """Answers the processes that want to become engines of `fleet`."""

    def __init__(self, fleet: Fleet, router: Router) -> None:
        self._fleet = fleet
        self._router = router

    def __repr__(self) -> str:
        return f"<Gate {self._fleet!r}>"

    def routes(self) -> list[web.RouteDef]:
        """The gate's one path."""
        return [web.post("/gate/{model}", self.ask)]

    async def ask(self, request: web.Request) -> web.Response:
        """Wait for room, then answer with argv and environment. Raises: RotaError."""
        model = self._router.named(request.match_info["model"])
        pid, _ = peer(request)
        launch = await self._fleet.ask_gate(model, pid)
        return web.Response(body=msgspec.json.encode(launch), content_type="application/json")


def peer(request: web.Request) -> tuple[int, int]:
    """The pid and the uid of who is at the other end of the Unix socket."""
    connection = request.get_extra_info("socket")
    pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(pid), int(uid)
