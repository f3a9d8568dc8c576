"""How those who wait or receive are told that the user wants no more of it."""

import threading
import time
from collections.abc import Callable

from catalog.download.fetch import end_children
from catalog.download.progress import Progress

DRAW_EVERY_S = 0.2
ENDS_WITHIN_S = 2.0


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


def in_threads(act: Callable[[], None], count: int, progress: Progress, stop: Stop) -> None:
    """Let `count` threads `act` until all have ended, and draw `progress` meanwhile. Call it in the main thread.

    Raises: what is raised there, but Stopped; what is raised here (KeyboardInterrupt), after all were told to stop.
    """
    bugs: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except Stopped:
            return
        except BaseException as error:  # it is raised in the main thread
            bugs.append(error)

    # Daemons: one that hangs in a read must not keep the program from ending; what it has written is safe.
    threads = [threading.Thread(target=guarded, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            threads[0].join(DRAW_EVERY_S) if threads[0].is_alive() else time.sleep(DRAW_EVERY_S)
            progress.draw()
    except BaseException:
        stop.now()
        end_children()
        ends_at = time.monotonic() + ENDS_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        raise
    if bugs:
        raise bugs[0]
