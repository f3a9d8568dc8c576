from pathlib import Path

import pytest

from catalog.download import room as module
from catalog.download.room import Room, verdict

GIB = 2**30


@pytest.fixture(autouse=True)
def _free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda _: 10 * GIB)


def test_what_stays_counts_in_full_and_what_passes_for_the_largest_at_once(tmp_path: Path) -> None:
    rooms = [Room(tmp_path / "a", 3 * GIB, 2 * GIB), Room(tmp_path / "b", 2 * GIB, 3 * GIB), Room(tmp_path / "c", GIB)]
    one = verdict(rooms)
    assert one.fits
    assert one.text == f"needs 9.00 GiB on the disk in all, and 10.00 GiB are free at {tmp_path}"
    two = verdict(rooms, at_once=2)
    assert not two.fits
    assert "needs 11.00 GiB on the disk in all, and 10.00 GiB are free" in two.text
    assert two.text.endswith(": make 1.00 GiB free, name fewer models, or set 'weights' to a place on another disk")


def test_where_nothing_is_left_to_bring_nothing_is_needed() -> None:
    assert (verdict([]).fits, verdict([]).text) == (True, "needs no room on the disk")
