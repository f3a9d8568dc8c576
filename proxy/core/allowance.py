"""How much a key may use: requests and tokens a minute, tokens a day, requests at a time. Pure; one per key.

A minute's allowance is a bucket that fills evenly (a token bucket): after a quiet minute it is full, and it is never
fuller. How many tokens a request takes is known only at its end; until then it needs no more than some being left, so
one may overdraw, and who comes next waits until that is made up. Days are those of UTC.
"""

from math import ceil
from typing import NamedTuple

from proxy.core.key_errors import USELESS, QuotaUsedUp, RateLimited
from proxy.core.keys import Key

MINUTE_S = 60.0
DAY_S = 86_400.0


class Bucket:
    """What is left of so many a minute."""

    __slots__ = ("_at", "_left", "limit")

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._left = float(limit)
        self._at = now

    def __repr__(self) -> str:
        return f"<Bucket {self._left:.0f} of {self.limit}>"

    def left(self, now: float) -> float:
        """Below 0 where it is overdrawn."""
        self._left = min(self.limit, self._left + (now - self._at) * self.limit / MINUTE_S)
        self._at = now
        return self._left

    def take(self, many: float, now: float) -> None:
        """Take them, whether they are there or not."""
        self._left = self.left(now) - many

    def until_s(self, many: float, now: float) -> float:
        """How long until so many are left, in s."""
        return max(0.0, many - self.left(now)) * MINUTE_S / self.limit


class Used(NamedTuple):
    """So many tokens on that day, which is counted from 1970."""

    day: int
    tokens: int


NOTHING = Used(0, 0)


class Allowance:
    """What one key has left. `now` is monotonic, `day` counts days of UTC."""

    def __init__(self, key: Key, now: float, used: Used = NOTHING) -> None:
        self.in_flight = 0
        self.used = used
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self.use(key, now)

    def __repr__(self) -> str:
        return f"<Allowance of {self.key.name}, {self.in_flight} in flight>"

    def use(self, key: Key, now: float) -> None:
        """From now on the limits of `key` count; what has been used stays used."""
        self.key = key
        self.has_limits = key.has_limits
        self.may_use_all = key.may_use_all
        self.counts_tokens = key.counts_tokens
        self._requests = _bucket(self._requests, key.requests_per_minute, now)
        self._tokens = _bucket(self._tokens, key.tokens_per_minute, now)

    def begin(self, now: float, wall: float) -> None:
        """Let one request in; it is to be ended with `end`. Raises: RateLimited."""
        key, told = self.key, self.told
        if key.concurrency is not None and self.in_flight >= key.concurrency:
            what = f"{self.in_flight} requests of the key '{key.name}' are under way, and {key.concurrency} may be"
            raise RateLimited(what, retry_after_s=1.0, headers=told(now))
        self._turn_to(wall)
        if key.tokens_per_day is not None and self.used.tokens >= key.tokens_per_day:
            what = f"the key '{key.name}' has used {self.used.tokens} tokens today, and {key.tokens_per_day} may be"
            rest_s = DAY_S - wall % DAY_S
            raise QuotaUsedUp(f"{what}; days end at midnight UTC", retry_after_s=rest_s, headers=told(now) | USELESS)
        if self._tokens is not None and self._tokens.left(now) <= 0:
            what = f"the key '{key.name}' may use {self._tokens.limit} tokens a minute, and has"
            raise RateLimited(what, retry_after_s=ceil(self._tokens.until_s(1, now)), headers=told(now))
        if self._requests is not None:
            if self._requests.left(now) < 1:
                what = f"the key '{key.name}' may make {self._requests.limit} requests a minute, and has"
                raise RateLimited(what, retry_after_s=ceil(self._requests.until_s(1, now)), headers=told(now))
            self._requests.take(1, now)
        self.in_flight += 1

    def end(self, tokens: int, now: float, wall: float) -> None:
        """One has ended that took so many tokens, of its prompt and of its answer."""
        self.in_flight -= 1
        if tokens:
            self._turn_to(wall)
            self.used = Used(self.used.day, self.used.tokens + tokens)
            if self._tokens is not None:
                self._tokens.take(tokens, now)

    def told(self, now: float) -> dict[str, str]:
        """The headers by which OpenAI's clients know how much is left."""
        told = {}
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                told[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                told[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.left(now))))
                told[f"x-ratelimit-reset-{name}"] = f"{bucket.until_s(bucket.limit, now):.3f}s"
        return told

    def _turn_to(self, wall: float) -> None:
        if (day := int(wall // DAY_S)) != self.used.day:
            self.used = Used(day, 0)


def _bucket(old: Bucket | None, limit: int | None, now: float) -> Bucket | None:
    """A bucket of `limit`; of one that there was the same share is used."""
    if limit is None:
        return None
    new = Bucket(limit, now)
    if old is not None:
        new.take((1 - old.left(now) / old.limit) * limit, now)
    return new
