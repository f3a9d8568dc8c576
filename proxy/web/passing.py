"""What can be done with an answer as it passes: taken apart, looked at."""

from collections.abc import Callable
from enum import Enum

Tap = Callable[[bytes], bool]
"""Looks at an answer as it passes, piece by piece, until it returns False."""


class Mode(Enum):
    """What is done with the bytes of the body."""

    AS_IT_COMES = 1
    UNCHUNKED = 2
    """The client's HTTP is too old for chunks."""
    STRIPPED = 3
    """An event is taken out that its client has not asked for."""
    KEPT = 4
    """An error for a client that has been told 200 already: it becomes an event."""


def both(one: Tap, other: Tap | None) -> Tap:
    """Has each look at an answer for as long as it wants to."""
    if other is None:
        return one
    taps = [one, other]

    def tap(data: bytes) -> bool:
        taps[:] = [each for each in taps if each(data)]
        return bool(taps)

    return tap
