"""Says honestly, while a request waits, that it waits: as comments in the stream that its client asked for.

Rule: nothing is said before it is certain that the request is not refused at once; after that there is no other status
than 200, and a failure is an event. So who waits has been taken into a queue.
"""

import asyncio
from collections.abc import Callable

from proxy.web.relay import Relay

FIRST_S = 1.0
"""Who waits no longer than this is told nothing but the end of it."""


class Announcer:
    """Tells the client of `relay` every `every_s` what `tell` says, between `begin` and `stop`; 0 is never."""

    def __init__(self, relay: Relay, tell: Callable[[], str], every_s: float) -> None:
        self._relay = relay
        self._tell = tell
        self._every_s = every_s
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Announcer for {self._relay!r}>"

    def begin(self) -> None:
        """It waits from now on."""
        self.stop()
        if self._every_s:
            self._timer = asyncio.get_running_loop().call_later(min(FIRST_S, self._every_s), self._due)

    def stop(self) -> None:
        """There is nothing more to say."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        if not self._relay.has_begun:
            self._relay.begin_events()
        self._relay.comment(self._tell())
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._due)


class KeepAlive:
    """Writes a comment into every stream whose engine has been silent for `every_s`; 0 is never."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._seen: dict[Relay, tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<KeepAlive {len(self._seen)} streams>"

    def watch(self, relay: Relay) -> None:
        """See to it that this one is not silent for long."""
        if self._every_s:
            self._seen[relay] = (relay.bytes_out, 0)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._every_s / TURNS, self._look)

    def forget(self, relay: Relay) -> None:
        """It has ended."""
        self._seen.pop(relay, None)

    def _look(self) -> None:
        self._timer = None
        if not self._seen:
            return
        self._timer = asyncio.get_running_loop().call_later(self._every_s / TURNS, self._look)
        for relay, (bytes_out, turns) in self._seen.items():
            if relay.bytes_out != bytes_out:
                self._seen[relay] = (relay.bytes_out, 0)
            elif turns + 1 < TURNS:
                self._seen[relay] = (bytes_out, turns + 1)
            else:
                relay.comment("keep-alive")
                self._seen[relay] = (relay.bytes_out, 0)


TURNS = 4
"""How often in that time it is looked whether anything has come: a counter per event would cost more."""
