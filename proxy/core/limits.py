"""How long things may take, and how long a failed engine is left alone. Seconds. Pure.

A cool-down follows the cause: always the same where the cause passes, twice as long each time where it is unknown, and
without an end where it lies in the configuration, which does not mend itself.
"""

from dataclasses import dataclass
from math import inf
from typing import assert_never

from proxy.core.diagnose import Lasts

LONGEST_COOL_DOWN_S = 300.0
MOST_DOUBLINGS = 30
LONGEST_RETRY_S = 300.0
RETRY_AFTER_WAIT_S = 30.0
"""When to come back after having waited in vain: nothing is known about how long it will take."""


def doubled_s(first_s: float, failures: int, longest_s: float) -> float:
    """The wait after the `failures`-th failure in a row: twice as long each time, and no longer than the longest."""
    return min(longest_s, first_s * 2.0 ** min(failures - 1, MOST_DOUBLINGS))


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may wait for its engine, and the first cool-down of an engine that failed to start."""

    max_wait_s: float = 120.0
    """After so long the swap for a request begins, whatever it costs; but for an overload (`policy`, rule 8)."""
    queue_timeout_s: float = 600.0
    """After so long in the queue a request is told to come back."""
    max_queue: int = 2000
    """How many requests may wait in all."""
    overlap: bool = True
    """Whether the process of an engine is started while others still make room for it."""
    parks: bool = False
    """Whether processes wait at the gate before anybody waits for their engines."""
    cool_down_s: float = 15.0
    blocked_s: float = 10.0
    """How long a request waits for room that strangers hold: memory just freed is theirs for a moment."""
    sleep_timeout_s: float = 60.0
    """How long a sleep or a wake may take, its probe included."""
    wakes_after_stop_by_hand: bool = False
    """Whether the next request starts an engine that somebody stopped by hand."""

    def cool_down_after(self, lasts: Lasts, failures: int) -> float:
        """The wait after the `failures`-th failure in a row; infinity until somebody changes something."""
        match lasts:
            case Lasts.PASSING:
                return self.cool_down_s
            case Lasts.LASTING:
                return inf
            case Lasts.UNKNOWN:
                return doubled_s(self.cool_down_s, failures, max(LONGEST_COOL_DOWN_S, self.cool_down_s))
            case _:
                assert_never(lasts)
