"""Which engine made which response of the Responses API: its id is all that a later request says.

The newest are kept; an engine that has ended has forgotten them itself.
"""

import re
from collections import OrderedDict
from collections.abc import Callable

MOST = 20_000
LOOKED_AT_BYTES = 64 * 2**10
"""The id stands in the first event of a stream and near the beginning of a body."""

_ID = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,200})"')


class Remembered:
    """Models by the ids of responses."""

    def __init__(self, most: int = MOST) -> None:
        self._models: OrderedDict[str, str] = OrderedDict()
        self._most = most

    def __repr__(self) -> str:
        return f"<Remembered {len(self._models)} responses>"

    def note(self, response_id: str, model: str) -> None:
        """`model`'s engine made it."""
        self._models[response_id] = model
        self._models.move_to_end(response_id)
        if len(self._models) > self._most:
            self._models.popitem(last=False)

    def made_by(self, response_id: str) -> str | None:
        """Whose engine made it; None where that is not known (any more)."""
        return self._models.get(response_id)


class Finder:
    """Looks for the id in the first bytes of one answer; who has to know it is told it, and the model."""

    def __init__(self, remembered: Remembered, model: str, tell: Callable[[str, str], None] | None = None) -> None:
        self._tell = tell
        self._remembered = remembered
        self._model = model
        self._seen = b""

    def __repr__(self) -> str:
        return f"<Finder for {self._model}>"

    def __call__(self, data: bytes) -> bool:
        """Look at some more of the body; False once there is no more to look for."""
        self._seen += data
        if (match := _ID.search(self._seen)) is not None:
            response_id = match[1].decode()
            self._remembered.note(response_id, self._model)
            if self._tell is not None:
                self._tell(response_id, self._model)
            return False
        return len(self._seen) < LOOKED_AT_BYTES
