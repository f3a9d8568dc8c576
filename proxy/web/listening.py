"""Listening on the public port: on sockets of its own, or on those that the proxy before this one has left."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

BACKLOG = 1024
"""Connections that the kernel holds until they are taken; as many as most kernels allow by themselves."""


class Listening:
    """What is listened on, until it is closed."""

    def __init__(self, servers: Sequence[asyncio.Server]) -> None:
        self._servers = servers

    def __repr__(self) -> str:
        return f"<Listening on {len(self.sockets)} sockets>"

    @property
    def sockets(self) -> list[socket.socket]:
        """Their sockets; the event loop owns them."""
        return [one for server in self._servers for one in server.sockets]

    def close(self) -> None:
        """Take no new connection; those that there are go on."""
        for server in self._servers:
            server.close()


async def listen(
    accepting: Callable[[], asyncio.BaseProtocol],
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    handed: Sequence[socket.socket],
) -> Listening:
    """Listen on `handed`, where they are just those of `host` and `port`; else they are closed. Raises: OSError."""
    loop = asyncio.get_running_loop()
    if handed and await _addresses(host, port) == {one.getsockname()[:2] for one in handed}:
        for one in handed:
            one.setblocking(False)
        return Listening([await loop.create_server(accepting, sock=one, ssl=tls, backlog=BACKLOG) for one in handed])
    for one in handed:
        one.close()
    return Listening([await loop.create_server(accepting, host or None, port, ssl=tls, backlog=BACKLOG)])


async def _addresses(host: str, port: int) -> set[tuple[str, int]]:
    """Where `host` and `port` would be listened on. Raises: OSError."""
    flags = socket.AI_PASSIVE
    found = await asyncio.get_running_loop().getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    return {(str(address[0]), int(address[1])) for *_, address in found}
