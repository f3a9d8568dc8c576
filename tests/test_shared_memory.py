"""Shared memory that nobody uses is told from that of others who run beside."""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared_memory import SHARED, orphans, orphans_since, shared


@pytest.fixture
def segment() -> Iterator[Path]:
    path = SHARED / f"rota-test-{os.getpid()}"
    path.write_bytes(bytes(4096))
    yield path
    path.unlink(missing_ok=True)


def test_a_segment_is_an_orphan_while_nobody_has_it_open_or_mapped(segment: Path) -> None:
    assert segment.name in shared()
    assert orphans([segment.name]) == {segment.name}
    with segment.open("r+b") as opened:
        assert orphans([segment.name]) == set()
        mapped = mmap.mmap(opened.fileno(), 0)
    assert orphans([segment.name]) == set()
    mapped.close()
    assert orphans([segment.name]) == {segment.name}


def test_what_was_there_before_is_not_counted_and_what_goes_is_waited_for(segment: Path) -> None:
    assert segment.name in orphans_since(shared() - {segment.name}, within_s=0)
    assert segment.name not in orphans_since(shared(), within_s=0)
    threading.Timer(0.2, segment.unlink).start()
    assert segment.name not in orphans_since(shared() - {segment.name}, within_s=10)


def test_what_is_not_there_is_none(segment: Path) -> None:
    segment.unlink()
    assert orphans([segment.name]) == set()
