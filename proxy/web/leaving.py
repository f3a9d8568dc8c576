"""Notices that a client has left whose connection is not being read, so that its end does not come by itself.

While a large body waits for its engine, or more requests wait than are taken in, reading is paused; the kernel knows
of the client's end all the same, unless so much is under way that it has no room for that either.
"""

import asyncio

from proxy.upstream.tcp_info import has_ended

LOOK_EVERY_S = 0.1


class Leaving:
    """Ends a transport when its client has left, between `begin` and `stop`; that cancels what is done for it."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Leaving {'watched' if self._timer else 'not watched'}>"

    def begin(self, transport: asyncio.Transport) -> None:
        """`transport` is not read from now on."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look, transport)

    def stop(self) -> None:
        """It is read again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.is_closing():
            return
        if has_ended(transport):
            transport.abort()
        else:
            self.begin(transport)
