"""The open connections to engines, by port. Rule: an idle one goes before vLLM closes it, and is never shared."""

import asyncio
from collections import defaultdict

from proxy.upstream.connection import Connection

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 4.0
"""vLLM closes idle connections after 5 s: ours must go first, or a request meets a connection that is being closed."""


class Pool:
    """Idle connections are used again, the last one first, so that those go that are too many."""

    def __init__(self, host: str = "127.0.0.1", idle_s: float = IDLE_CONNECTION_S) -> None:
        self._host = host
        self._idle_s = idle_s
        self._idle: defaultdict[int, list[Connection]] = defaultdict(list)
        self._loop = asyncio.get_running_loop()
        self._sweep: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Pool {sum(map(len, self._idle.values()))} idle>"

    def take(self, port: int) -> Connection | None:
        """An idle connection to the engine on `port`, if there is one."""
        idle = self._idle[port]
        if not idle:
            return None
        oldest_since = self._loop.time() - self._idle_s
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.idle_since > oldest_since:
                connection.is_reused = True
                return connection
            connection.abort()
        return None

    async def open(self, port: int) -> Connection:
        """A new connection. Raises: OSError, of which ConnectionRefusedError says that nobody listens; TimeoutError."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await self._loop.create_connection(Connection, self._host, port)
        return connection

    def give_back(self, port: int, connection: Connection) -> None:
        """Its exchange is over: keep it for the next one, or end it if there can be none."""
        if not connection.may_serve_again:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle[port].append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._drop_old)

    def close(self) -> None:
        """End all that are idle."""
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _drop_old(self) -> None:
        self._sweep = None
        oldest_since = self._loop.time() - self._idle_s
        for port, idle in list(self._idle.items()):
            self._idle[port] = []
            for connection in idle:
                if connection.is_open and connection.idle_since > oldest_since:
                    self._idle[port].append(connection)
                else:
                    connection.abort()
            if not self._idle[port]:
                del self._idle[port]
        if self._idle:
            self._sweep = self._loop.call_later(self._idle_s / 4, self._drop_old)
