"""What a client says of its request beside the request itself: its priority, its deadline, its keep-alive. Pure."""

import re
from dataclasses import dataclass
from math import inf, isfinite

from proxy.core.errors import InvalidRequest
from proxy.core.headers import CLIENT_TIMEOUTS, DEADLINE, Incoming

LONGEST_S = 31_536_000.0
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Wishes:
    """None is no wish.

    `priority` weighs the request's wait, `deadline_s` is how long the client waits, `keep_alive_s` how long the engine
    is to stay without requests after this one (infinity: for good).
    """

    priority: float = 1.0
    deadline_s: float | None = None
    keep_alive_s: float | None = None


NO_WISHES = Wishes()


_CLIENT_TIMEOUTS = tuple(name.lower().encode() for name in CLIENT_TIMEOUTS)
_SAID_IN_HEADERS = {DEADLINE.lower().encode(), *_CLIENT_TIMEOUTS}


def wishes_of(incoming: Incoming, priority: float, keep_alive: object) -> Wishes:
    """What a request says of itself, in its headers and in `keep_alive` of its body. Raises: InvalidRequest."""
    if keep_alive is None and priority == 1.0 and _SAID_IN_HEADERS.isdisjoint(incoming.told):
        return NO_WISHES
    return Wishes(priority, deadline_s(incoming), keep_alive_s(keep_alive))


def deadline_s(incoming: Incoming) -> float | None:
    """How long the client waits: what it says to us, else its own time-out where it sends that.

    Raises: InvalidRequest for a deadline that is no number of seconds above 0. A client's time-out is never an error:
    who sends it does not know of us.
    """
    if (given := incoming.text(DEADLINE.lower().encode())) is not None:
        seconds = _number(given)
        if seconds is None or not 0 < seconds <= LONGEST_S:
            raise InvalidRequest(
                f"{DEADLINE} is '{given[:40]}': it must be a number of seconds above 0, a year at most"
            )
        return seconds
    for name in _CLIENT_TIMEOUTS:
        seconds = None if (given := incoming.text(name)) is None else _number(given)
        if seconds is not None and 0 < seconds <= LONGEST_S:
            return seconds
    return None


def keep_alive_s(given: object) -> float | None:
    """The body's `keep_alive` as ollama takes it: seconds, or "10m", "1h30m"; 0 is at once, below 0 for good.

    Raises: InvalidRequest.
    """
    if given is None:
        return None
    seconds = _duration_s(given) if isinstance(given, str) else given
    if isinstance(seconds, int) and abs(seconds) > LONGEST_S:
        seconds = LONGEST_S if seconds > 0 else -1.0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds):
        what = 'keep_alive must be a number of seconds, or a duration such as "10m" or "1h30m"; below 0 is for good'
        raise InvalidRequest(what, param="keep_alive")
    return inf if seconds < 0 else float(seconds)


def _duration_s(text: str) -> float | None:
    if (number := _number(text)) is not None:
        return number
    sign, text = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sign * sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
