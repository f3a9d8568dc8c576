"""A request as its way through sees it, whoever has read its head: aiohttp's server, or `door`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from proxy.core.headers import Incoming
from proxy.keyring import LastKey

_HTTP_1_1 = (1, 1)


class Writes(Protocol):
    """The protocol of a client's connection."""

    @property
    def writing_paused(self) -> bool:
        """Whether the client reads more slowly than it is written to."""


class HasPeer(Protocol):
    """A client's connection."""

    def get_extra_info(self, name: str) -> Any:
        """As asyncio's transports do."""


def peer_of(connection: HasPeer) -> str:
    """The address that it comes from; empty where it has none, as a Unix socket's."""
    peer = connection.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


class Asked:
    """`target` is the path, with its query, that the engine is asked for.

    `body` is all that came with the head; None where it is still to be read, from `request`, which is aiohttp's.
    """

    __slots__ = (
        *("method", "target", "incoming", "protocol", "transport", "drain", "body", "request"),
        *("has_chunks", "keeps_alive", "last_key", "peer"),
    )

    def __init__(
        self,
        method: str,
        target: str,
        incoming: Incoming,
        *,
        protocol: Writes,
        transport: asyncio.Transport,
        drain: Callable[[], Awaitable[None]],
        body: bytes | None,
        peer: str = "",
        last_key: LastKey | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.incoming = incoming
        self.protocol = protocol
        self.transport = transport
        self.drain = drain
        """Waits until the client has taken most of what was written."""
        self.body = body
        self.peer = peer
        """The address that its connection comes from."""
        self.last_key = last_key
        """What was presented last on its connection, where that is remembered."""
        self.request: web.BaseRequest | None = None
        self.has_chunks = True
        """Whether the client's HTTP knows chunks."""
        self.keeps_alive = True
        """Whether the client's connection may have another request."""

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.target}>"

    @property
    def to_read(self) -> web.BaseRequest:
        """aiohttp's, for the body that is still to be read. Raises: RuntimeError if it is at hand."""
        if self.request is None:
            raise RuntimeError("its body is at hand")
        return self.request

    def go_on(self) -> None:
        """Tell a client that waits for it that its body is wanted (RFC 9110, section 10.1.1)."""
        if self.has_chunks and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @classmethod
    def of(cls, request: web.BaseRequest, target: str) -> "Asked":
        """One that aiohttp's server has read the head of. Raises: ConnectionResetError if the client has gone."""
        if (transport := request.transport) is None:
            raise ConnectionResetError("the client has gone")
        one = cls(
            request.method,
            target,
            Incoming.of_pairs(request.raw_headers),
            protocol=request.protocol,
            transport=transport,
            drain=request.writer.drain,
            body=None,
            peer=peer_of(transport),
        )
        one.request = request
        one.has_chunks = request.version >= _HTTP_1_1
        one.keeps_alive = one.has_chunks and request.keep_alive
        return one
