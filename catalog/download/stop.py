"""How those who wait or receive are told that the user wants no more of it."""

import threading

from catalog.download.progress import Progress


class Stopped(Exception):
    """The user wants no more of it."""


class Stop:
    """Says to all who wait or receive that they shall end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __repr__(self) -> str:
        return f"<Stop {self._event.is_set()}>"

    def now(self) -> None:
        """From now on."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Raises: Stopped, before the time is over if need be."""
        if self._event.wait(seconds):
            raise Stopped


class Watch:
    """Tells the progress of one model, and ends it where the user wants that."""

    def __init__(self, model: str, progress: Progress, stop: Stop) -> None:
        self._model = model
        self._progress = progress
        self._stop = stop

    def __repr__(self) -> str:
        return f"<Watch {self._model}>"

    def moved(self, count: int) -> None:
        """As staging's `Watch`. Raises: Stopped."""
        self._progress.moved(self._model, count)
        self._stop.wait(0)

    def doing(self, what: str) -> None:
        """As staging's `Watch`. Raises: Stopped."""
        self._progress.doing(self._model, what)
        self._stop.wait(0)
