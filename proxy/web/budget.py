"""The memory that bodies of waiting requests may take, all together.

Rule: a queue of requests is bounded in bytes as in number: two thousand images would be more than a machine has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from proxy.core.errors import QueueFull

RETRY_S = 5.0


class Budget:
    """At most `limit_bytes` at a time; one body alone is always taken."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"<Budget {self.held_bytes} of {self._limit_bytes}>"

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold so many bytes while in it. Raises: QueueFull."""
        if self.held_bytes and self.held_bytes + size > self._limit_bytes:
            held, limit = self.held_bytes / 2**20, self._limit_bytes / 2**20
            what = f"the bodies of waiting requests take {held:.0f} MiB, and {limit:.0f} may (setting max_waiting_mib)"
            raise QueueFull(what, retry_after_s=RETRY_S)
        self.held_bytes += size
        try:
            yield
        finally:
            self.held_bytes -= size
