"""The list of keys, for people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite

from proxy.core.keys import Key


def key_lines(keys: Iterable[Key], now: float) -> list[str]:
    """A line for each, with what it may; `now` is in s since 1970."""
    lines = [f"{key.name}: {_standing(key, now)}; {key.role}; {key.allowed}{_limits(key)}" for key in keys]
    return lines or ["there are no keys: whoever reaches the proxy may do everything, so it listens on loopback only"]


def _standing(key: Key, now: float) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is not None and key.expires_at <= now:
        return f"expired {_day(key.expires_at)}"
    ends = sorted(end for one in key.secrets if isfinite(end := key.ends_at(one)) and end > now)
    old = f", an old secret counts until {_time(ends[0])}" if len(key.secrets) > 1 and ends else ""
    until = "" if key.expires_at is None else f", expires {_day(key.expires_at)}"
    return f"made {_day(key.made_at)}{until}{old}"


def _limits(key: Key) -> str:
    limits = (
        (key.requests_per_minute, "requests a minute"),
        (key.tokens_per_minute, "tokens a minute"),
        (key.tokens_per_day, "tokens a day"),
        (key.concurrency, "at a time"),
    )
    told = ", ".join(f"{limit} {of}" for limit, of in limits if limit is not None)
    return f"; at most {told}" if told else ""


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
