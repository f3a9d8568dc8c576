"""Watches whether the host itself has memory left, whoever holds it."""

from collections.abc import Callable

from proxy.adapters.processes import host_available_bytes, host_total_bytes
from proxy.core import messages
from proxy.core.messages import Event

LEAST = 0.05
ENOUGH = 0.1
"""Of all of it: below the first it is short, until there is more than the second."""


class Host:
    """`available` and `total` tell bytes."""

    def __init__(
        self, available: Callable[[], int] = host_available_bytes, total: Callable[[], int] = host_total_bytes
    ) -> None:
        self._available = available
        self._total_bytes = total()
        self._is_short = False

    def __repr__(self) -> str:
        return f"<Host {'short of memory' if self._is_short else 'with memory left'}>"

    def look(self) -> list[Event]:
        """One look: an event where that has changed."""
        limit = ENOUGH if self._is_short else LEAST
        if (is_short := self._available() < limit * self._total_bytes) is self._is_short:
            return []
        self._is_short = is_short
        return [messages.HostSeen(is_short)]
