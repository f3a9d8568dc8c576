"""Which engine made which response of the Responses API: its id is all that a later request says.

The newest are kept; an engine that has ended has forgotten them itself.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MOST = 20_000
LOOKED_AT_BYTES = 64 * 2**10
"""The id stands in the first event of a stream and near the beginning of a body."""

_ID = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,200})"')


class Made(NamedTuple):
    """Whose engine made it, and by which key it was asked to; None where that is not known."""

    model: str
    by: str | None


class Remembered:
    """Who made what, by the ids of responses."""

    def __init__(self, most: int = MOST) -> None:
        self._made: OrderedDict[str, Made] = OrderedDict()
        self._most = most

    def __repr__(self) -> str:
        return f"<Remembered {len(self._made)} responses>"

    def note(self, response_id: str, made: Made) -> None:
        """It was made so. What another key has made stays its own: the id may be chosen by who asks."""
        if (old := self._made.get(response_id)) is not None and old.by != made.by:
            return
        self._made[response_id] = made
        self._made.move_to_end(response_id)
        if len(self._made) > self._most:
            self._made.popitem(last=False)

    def made(self, response_id: str) -> Made | None:
        """Who made it; None where that is not known (any more)."""
        return self._made.get(response_id)


class Finder:
    """Looks for the id in the first bytes of one answer; who has to know it is told it, and the model."""

    def __init__(self, remembered: Remembered, made: Made, tell: Callable[[str, str], None] | None = None) -> None:
        self._tell = tell
        self._remembered = remembered
        self._made = made
        self._seen = b""

    def __repr__(self) -> str:
        return f"<Finder for {self._made.model}>"

    def __call__(self, data: bytes) -> bool:
        """Look at some more of the body; False once there is no more to look for."""
        self._seen += data
        if (match := _ID.search(self._seen)) is not None:
            response_id = match[1].decode()
            self._remembered.note(response_id, self._made)
            if self._tell is not None:
                self._tell(response_id, self._made.model)
            return False
        return len(self._seen) < LOOKED_AT_BYTES
