"""Clients that do not take what is written to them: waited for while they take some of it, and then cut off.

What counts is what the client's kernel has taken: this machine's holds megabytes that the client has not. Rule: no
lease and no memory is held for a client that reads nothing. nginx does so after the same time.
"""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.upstream.tcp_info import acked_bytes, reset

CLIENT_STALLED_S = 60.0
LEAST_TAKEN_BYTES = 2**12
"""A client that takes less than this in `CLIENT_STALLED_S` takes nothing."""


async def until_taken(transport: asyncio.Transport, drain: Callable[[], Awaitable[None]]) -> None:
    """Until the client has taken most of what was written. Raises: ConnectionResetError where it takes nothing."""
    while True:
        before = acked_bytes(transport)
        try:
            async with asyncio.timeout(CLIENT_STALLED_S):
                await drain()
            return
        except TimeoutError:
            if _takes_nothing(transport, before):
                reset(transport)
                raise ConnectionResetError("the client reads nothing") from None


def see_off(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
    """After the end of an answer: have its client take what is left of it, also where the connection is closing."""
    if transport.get_write_buffer_size():
        loop.call_later(CLIENT_STALLED_S, _look, transport, acked_bytes(transport), loop)


def _look(transport: asyncio.Transport, before: int | None, loop: asyncio.AbstractEventLoop) -> None:
    if not transport.get_write_buffer_size():
        return
    if _takes_nothing(transport, before):
        reset(transport)
    else:
        see_off(transport, loop)


def _takes_nothing(transport: asyncio.Transport, before: int | None) -> bool:
    now = acked_bytes(transport)
    return before is None or now is None or now - before < LEAST_TAKEN_BYTES
