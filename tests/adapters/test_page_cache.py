"""Weights are read ahead, where the host has memory for them."""

import os
from pathlib import Path

import pytest

from proxy.adapters import page_cache


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the kernel was asked for: offset and length."""
    calls: list[tuple[int, int]] = []

    def advise(_descriptor: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        calls.append((offset, length))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return calls


def test_all_weights_are_asked_for_and_nothing_else(tmp_path: Path, asked: list[tuple[int, int]]) -> None:
    for name, size in (("a.safetensors", 30), ("b.gguf", 20), ("config.json", 5), ("README.md", 7)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert page_cache.read_ahead(tmp_path) == 50
    assert sorted(asked) == [(0, 20), (0, 30)]


def test_where_memory_is_short_nothing_is(
    tmp_path: Path, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x" * 30)
    monkeypatch.setattr(page_cache, "host_available_bytes", lambda: 59)
    assert page_cache.read_ahead(tmp_path) == 0
    assert asked == []
    monkeypatch.setattr(page_cache, "host_available_bytes", lambda: 60)
    assert page_cache.read_ahead(tmp_path) == 30


def test_a_folder_that_is_not_there_is_the_starts_business(tmp_path: Path) -> None:
    assert page_cache.read_ahead(tmp_path / "none") == 0


def test_the_kernel_takes_it(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x" * 2**20)
    assert page_cache.read_ahead(tmp_path) == 2**20
