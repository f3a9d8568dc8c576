from pathlib import Path

import msgspec

from catalog.download.order import in_order, sharers_of
from catalog.download.outcome import Came, Outcome
from catalog.spec import Source
from tests.catalog.download.hub_stage import model


def test_the_order_is_by_priority_then_name_and_a_folder_comes_once(tmp_path: Path) -> None:
    late = model(tmp_path, "late", Source(repo="o/m", priority=5))
    first = model(tmp_path, "first", Source(repo="o/m", priority=1))
    again = model(tmp_path, "again", Source(repo="o/m", priority=5))
    shares = model(tmp_path, "a-shares", None, weights=first.weights)
    nowhere = msgspec.structs.replace(late, name="no", source=None, weights="w")
    assert [spec.name for spec in in_order([nowhere, shares, late, first, again])] == ["first", "again", "late", "no"]


def test_those_who_share_a_folder_have_what_came_to_it(tmp_path: Path) -> None:
    first, other = model(tmp_path, "first"), model(tmp_path, "other")
    shares = model(tmp_path, "shares", None, weights=first.weights)
    told = sharers_of(first, Outcome("first", Came.READY, "x"), [first, other, shares])
    assert told == [Outcome("shares", Came.READY, f"shares {first.weights} with first")]
