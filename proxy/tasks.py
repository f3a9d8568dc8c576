"""The tasks of the fleet: each runs to its end, and a bug in one of them is not lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Runs coroutines. The first error is kept as `crash`, and `on_crash` is called."""

    def __init__(self, on_crash: Callable[[], None]) -> None:
        self.crash: BaseException | None = None
        self._on_crash = on_crash
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Tasks {len(self._tasks)} running, crash {self.crash!r}>"

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin; the task is held until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def end_with(self, error: BaseException) -> None:
        """Keep an error; it is a bug, and must not pass in silence."""
        self.crash = self.crash or error
        self._on_crash()

    def cancel(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end_with(error)
