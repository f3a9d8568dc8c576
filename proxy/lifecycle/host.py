"""Watches whether the host itself has memory left, whoever holds it."""

from collections.abc import Callable

from proxy.adapters.processes import host_available_bytes, host_total_bytes
from proxy.core import messages
from proxy.core.messages import Event

LEAST = 0.05
ENOUGH = 0.1
"""Of all of it: below the first it is short, until there is more than the second."""
STEP_BYTES = 2**26
"""A change that is less is no news."""


class Host:
    """`available` and `total` tell bytes."""

    def __init__(
        self, available: Callable[[], int] = host_available_bytes, total: Callable[[], int] = host_total_bytes
    ) -> None:
        self._available = available
        self._total_bytes = total()
        self._is_short = False
        self._told_bytes: int | None = None

    def __repr__(self) -> str:
        return f"<Host {'short of memory' if self._is_short else 'with memory left'}>"

    def look(self) -> list[Event]:
        """One look: an event where that, or what could be taken without its being short, has changed."""
        available_bytes, limit = self._available(), ENOUGH if self._is_short else LEAST
        is_short = available_bytes < limit * self._total_bytes
        spare_bytes = int(available_bytes - ENOUGH * self._total_bytes)
        is_news = self._told_bytes is None or abs(spare_bytes - self._told_bytes) >= STEP_BYTES
        if is_short is self._is_short and not is_news:
            return []
        self._is_short, self._told_bytes = is_short, spare_bytes
        return [messages.HostSeen(is_short, spare_bytes)]
