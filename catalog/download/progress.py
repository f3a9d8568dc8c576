"""Shows how downloads go: a live line on a terminal, else every few seconds a plain line for what has changed.

Rule: standard output has nothing but these lines and what came of each model; all else goes to standard error.
"""

import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from catalog.download.place import amount

EVERY_S = 5.0
_RATE_OVER_S = 15.0
_CLEAR = "\r\x1b[K"


@dataclass(slots=True)
class _Going:
    """One download: bytes in all and here, and the last samples of (time, bytes received)."""

    total_bytes: int
    done_bytes: int
    what: str = ""
    received_bytes: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=deque)


class Progress:
    """Shows on `out` how it goes and on `err` what else there is to say. Any thread may tell it; one draws."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        is_live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._is_live = self._out.isatty() if is_live is None else is_live
        self._clock = clock
        self._going: dict[str, _Going] = {}
        self._lock = threading.RLock()
        self._drawn_at = clock()
        self._is_line_open = False
        self._told: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Progress {', '.join(self._going)}>"

    def begin(self, model: str, total_bytes: int, done_bytes: int) -> None:
        """A download begins, of which so much is here already."""
        with self._lock:
            self._going[model] = _Going(total_bytes, done_bytes)
            self._going[model].samples.append((self._clock(), 0))

    def moved(self, model: str, count: int) -> None:
        """So many more bytes are here; fewer, where some were thrown away."""
        with self._lock:
            going = self._going[model]
            going.done_bytes += count
            going.received_bytes += max(count, 0)

    def doing(self, model: str, what: str) -> None:
        """All is here, and something else is done with it."""
        with self._lock:
            if model in self._going:
                self._going[model].what = what
            else:
                self._going[model] = _Going(0, 0, what)

    def end(self, model: str) -> None:
        """It is over, in whatever way."""
        with self._lock:
            self._going.pop(model, None)
            self._told.pop(model, None)

    def say(self, text: str) -> None:
        """Tell the user something, on standard error."""
        with self._lock:
            self._close_line()
            print(text, file=self._err, flush=True)

    def tell(self, text: str) -> None:
        """A line of standard output."""
        with self._lock:
            self._close_line()
            print(text, file=self._out, flush=True)

    def draw(self) -> None:
        """Show how it goes, if it is time to."""
        with self._lock:
            now = self._clock()
            if not self._going or (not self._is_live and now - self._drawn_at < EVERY_S):
                return
            self._drawn_at = now
            lines = {model: self._line(model, going, now) for model, going in self._going.items()}
            if not self._is_live:
                for model, line in lines.items():
                    if self._told.get(model) != line:
                        self._told[model] = line
                        print(line, file=self._out, flush=True)
                return
            width = shutil.get_terminal_size().columns - 1
            self._out.write(_CLEAR + " | ".join(lines.values())[:width])
            self._out.flush()
            self._is_line_open = True

    def _close_line(self) -> None:
        if self._is_line_open:
            self._out.write(_CLEAR)
            self._out.flush()
            self._is_line_open = False

    def _line(self, model: str, going: _Going, now: float) -> str:
        if going.what:
            return f"{model}: {going.what}"
        going.samples.append((now, going.received_bytes))
        while len(going.samples) > 2 and now - going.samples[0][0] > _RATE_OVER_S:
            going.samples.popleft()
        since, before = going.samples[0]
        rate = (going.received_bytes - before) / (now - since) if now > since else 0.0
        left = going.total_bytes - going.done_bytes
        share = f"{100 * going.done_bytes // going.total_bytes if going.total_bytes else 100}%"
        until = f"{duration(left / rate)} left" if rate > 0 else "no time known"
        of = f"{amount(going.done_bytes)} of {amount(going.total_bytes)}"
        return f"{model}: {of} ({share}), {amount(rate)}/s, {until}"


def duration(seconds: float) -> str:
    """Seconds, as people read them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
