"""What the bench of cycles takes for a leak."""

from dataclasses import replace
from typing import Any

import pytest

from tests.bench.cycles import Left, worse

SETTLED = Left(processes=4, descriptors=100, shared=frozenset({"a"}), proxy_mib=100.0, parked_mib=1000.0)


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"descriptors": 102, "proxy_mib": 109.0, "parked_mib": 1099.0},
        {"shared": frozenset({"b"})},
        {"processes": 3, "descriptors": 50, "shared": frozenset()},
    ],
)
def test_what_comes_and_goes_is_none(now: dict[str, Any]) -> None:
    assert worse(SETTLED, replace(SETTLED, **now), "cycle 20") == []


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"processes": 5}, "cycle 20: processes 5, at most 4 are right"),
        ({"descriptors": 103}, "cycle 20: descriptors 103, at most 102 are right"),
        ({"proxy_mib": 111.0}, "cycle 20: proxy_mib 111, at most 110 are right"),
        ({"parked_mib": 1101.0}, "cycle 20: parked_mib 1101, at most 1100 are right"),
        ({"shared": frozenset({"a", "b"})}, "cycle 20: ['b'] are new in /dev/shm"),
    ],
)
def test_what_is_more_is_told(now: dict[str, Any], told: str) -> None:
    assert worse(SETTLED, replace(SETTLED, **now), "cycle 20") == [told]
