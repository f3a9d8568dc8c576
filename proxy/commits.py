"""Group commit: the audit's lines of many requests get onto the disk with one fdatasync.

While one is under way, whoever notes something waits for the next one, which takes all of them. So the disk's time is
shared by as many as come in that time, and a request waits for two of them at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from proxy.adapters.audit_files import AuditError, AuditFiles, Standing

Done = asyncio.Future[AuditError | None]


class Commits:
    """Of the lines of `files`; `failed` is called once for each fdatasync that was."""

    def __init__(self, files: AuditFiles, failed: Callable[[AuditError], None]) -> None:
        self._files = files
        self._failed = failed
        self._waiting: list[Done] = []
        self._is_busy = False
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "audit")

    def __repr__(self) -> str:
        return f"<Commits {len(self._waiting)} wait>"

    def commit(self) -> Done:
        """Done when all that is written by now is on the disk: with None, or with why it is not."""
        done: Done = self._loop.create_future()
        self._waiting.append(done)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._begin)  # whoever comes in the same step of the loop goes with it
        return done

    def close(self) -> None:
        """No more is asked for."""
        self._thread.shutdown()

    def _begin(self) -> None:
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
            if not done.done():  # who waited may have left
                done.set_result(error)
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            self._begin()
