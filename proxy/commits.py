"""Group commit: the audit's lines of many requests get onto the disk with one fdatasync.

While one is under way, whoever notes something waits for the next one, which takes all of them. So the disk's time is
shared by as many as come in that time, and a request waits for two of them at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from proxy.adapters.audit_files import AuditFiles, Standing
from proxy.adapters.audit_folder import AuditError

Done = Callable[[AuditError | None], None]
"""Told None, or why what was written may not be on the disk."""


class Commits:
    """Of the lines of `files`; `failed` is called once for each fdatasync that was."""

    def __init__(self, files: AuditFiles, failed: Callable[[AuditError], None]) -> None:
        self._files = files
        self._failed = failed
        self._waiting: list[Done] = []
        self._is_busy = False
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "audit")

    def __repr__(self) -> str:
        return f"<Commits {len(self._waiting)} wait>"

    def commit(self, done: Done) -> None:
        """Call `done` when all that is written by now is on the disk, or cannot be."""
        self._waiting.append(done)
        if not self._is_busy:
            self._is_busy = True
            self._begin()

    def close(self) -> None:
        """No more is asked for; who waits is told by `finish`."""
        self._is_closed = True
        self._thread.shutdown()

    def finish(self, error: AuditError | None) -> None:
        """All that was written is on the disk by now, or `error` says why it may not be."""
        batch, self._waiting = self._waiting, []
        for done in batch:
            done(error)

    def _begin(self) -> None:
        if self._is_closed:
            return
        batch, self._waiting = self._waiting, []
        self._thread.submit(self._commit, batch, self._files.standing)

    def _commit(self, batch: list[Done], standing: Standing) -> None:
        """In the thread."""
        error = None
        try:
            self._files.commit(standing)
        except AuditError as raised:
            error = raised
        self._loop.call_soon_threadsafe(self._end, batch, error)

    def _end(self, batch: list[Done], error: AuditError | None) -> None:
        if error is not None:
            self._failed(error)
        for done in batch:
            done(error)
        if not self._waiting:
            self._is_busy = False
        else:
            self._begin()
