"""Reads what stands in the query of a URL, for the proxy's own endpoints."""

from aiohttp import web

from proxy.core.errors import InvalidRequest

_MOST_DIGITS = 18
_ANSWERS = {"": False, "0": False, "false": False, "1": True, "true": True}


def flag(request: web.Request, name: str, default: str = "") -> bool:
    """Whether `name` is on; absent is `default`, off. Raises: InvalidRequest."""
    if (given := request.query.get(name, default).lower()) not in _ANSWERS:
        raise InvalidRequest(f"{name} is '{given[:20]}': true (or 1) and false (or 0) are allowed", param=name)
    return _ANSWERS[given]


def number(request: web.Request, name: str, default: int, most: int) -> int:
    """The number that `name` gives, from 0 to `most`. Raises: InvalidRequest."""
    return digits(name, request.query.get(name, str(default)), most)


def digits(name: str, given: str, most: int) -> int:
    """The number that `given` is, which `name` was given as. Raises: InvalidRequest."""
    if not (given.isascii() and given.isdecimal()) or len(given) > _MOST_DIGITS or int(given) > most:
        raise InvalidRequest(f"{name} is '{given[:20]}': a number up to {most} is allowed", param=name)
    return int(given)
