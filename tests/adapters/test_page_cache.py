"""Weights are read ahead, as far as the host has memory for them."""

import ctypes
import mmap
import os
import threading
from pathlib import Path

import pytest

from proxy.adapters import page_cache
from proxy.adapters.page_cache import read_ahead

MIB = 2**20


def never() -> threading.Event:
    return threading.Event()


def made(folder: Path, **sizes: int) -> Path:
    for name, size in sizes.items():
        (folder / name.replace("_", ".")).write_bytes(b"x" * size)
    return folder


def in_cache(path: Path) -> float:
    """Which part of the file is in the page cache (mincore(2))."""
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        try:
            assert (
                ctypes.CDLL(None, use_errno=True).mincore(
                    ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), pages
                )
                == 0
            ), os.strerror(ctypes.get_errno())
        finally:
            del start
    return sum(page & 1 for page in pages) / len(pages)


def test_all_of_a_file_is_in_the_page_cache_then(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert read_ahead(tmp_path, never()) == 64 * MIB
    assert in_cache(path) > 0.99


def test_all_weights_are_read_and_nothing_else(tmp_path: Path) -> None:
    made(tmp_path, a_bin=30, b_gguf=20, config_json=5, README_md=7)
    assert read_ahead(tmp_path, never()) == 50


def test_the_same_weights_in_another_form_are_not_read(tmp_path: Path) -> None:
    made(tmp_path, a_safetensors=30, b_safetensors=10, a_bin=200, a_pt=200)
    assert read_ahead(tmp_path, never()) == 40


def test_weights_may_be_one_file(tmp_path: Path) -> None:
    made(tmp_path, a_gguf=20, b_gguf=30)
    assert read_ahead(tmp_path / "a.gguf", never()) == 20


def test_no_more_is_read_than_half_of_what_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, a_safetensors=30, b_safetensors=30)
    monkeypatch.setattr(page_cache, "host_available_bytes", lambda: 80)
    assert read_ahead(tmp_path, never()) == 40
    monkeypatch.setattr(page_cache, "host_available_bytes", lambda: 0)
    assert read_ahead(tmp_path, never()) == 0


def test_it_ends_where_others_take_the_memory_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, a_safetensors=100)
    looks = iter([1000, 1000, 60])
    monkeypatch.setattr(page_cache, "host_available_bytes", lambda: next(looks))
    monkeypatch.setattr(page_cache, "CHUNK_BYTES", 10)
    monkeypatch.setattr(page_cache, "LOOKS_EVERY_BYTES", 20)
    assert read_ahead(tmp_path, never()) == 40


def test_it_ends_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, a_safetensors=100, b_safetensors=100)
    over = threading.Event()

    def look() -> int:
        over.set()
        return 1000

    monkeypatch.setattr(page_cache, "host_available_bytes", look)
    assert read_ahead(tmp_path, over) == 0


def test_a_folder_that_is_not_there_is_the_starts_business(tmp_path: Path) -> None:
    assert read_ahead(tmp_path / "none", never()) == 0
