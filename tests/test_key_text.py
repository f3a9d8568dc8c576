from typing import Any

from proxy.core.keys import Key, Role, Secret
from proxy.key_text import key_lines

DAY_S = 86_400.0


def line(**more: Any) -> str:
    given = {"name": "desk", "made_at": 0.0, "secrets": (Secret("0" * 12, "x", 0.0),)} | more
    [told] = key_lines([Key(**given)], now=10 * DAY_S)
    return told


def test_a_line_tells_what_a_key_may_and_until_when() -> None:
    assert line() == "desk: made 1970-01-01; client; all agent types and models"
    told = line(role=Role.MONITOR, agent_types=("Chat",), expires_at=20 * DAY_S, requests_per_minute=6, concurrency=2)
    assert told == (
        "desk: made 1970-01-01, expires 1970-01-21; monitor; agent types: Chat; models by name: none; "
        "at most 6 requests a minute, 2 at a time"
    )


def test_what_is_over_is_told_first() -> None:
    assert line(revoked_at=DAY_S).startswith("desk: revoked 1970-01-02; ")
    assert line(expires_at=DAY_S).startswith("desk: expired 1970-01-02; ")


def test_an_old_secret_that_still_counts_is_told() -> None:
    old = Secret("1" * 12, "x", 0.0, 11 * DAY_S)
    assert "an old secret counts until 1970-01-12 00:00 UTC" in line(secrets=(old, Secret("0" * 12, "x", 0.0)))


def test_that_there_are_none_is_told_with_what_it_means() -> None:
    [told] = key_lines([], now=0.0)
    assert "everything" in told
