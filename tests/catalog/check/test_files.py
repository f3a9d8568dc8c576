"""Folders of weights, good and bad."""

import json
import os
from pathlib import Path

import pytest

from catalog.check.files import HASHED_BYTES, wrong_files
from catalog.download.manifest import Manifest, records_of, write_manifest

HEADER = json.dumps({"t": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}).encode()
WHOLE = len(HEADER).to_bytes(8, "little") + HEADER + b"8 bytes."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(WHOLE)
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return tmp_path


def with_manifest(folder: Path) -> Path:
    files = records_of(folder)
    write_manifest(folder, Manifest(source="o/m", commit="a" * 40, downloaded_at="2026-01-01T00:00:00Z", files=files))
    return folder


def wrong(folder: Path, *, with_hashes: bool = False) -> list[str]:
    return wrong_files(folder, with_hashes=with_hashes)


def test_a_folder_that_is_whole_has_nothing_wrong(folder: Path) -> None:
    assert wrong(folder) == []
    assert wrong(with_manifest(folder), with_hashes=True) == []


def test_a_shard_that_the_index_names_and_is_not_there_is_named(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert wrong(folder) == ["model-00002-of-00002.safetensors is missing (model.safetensors.index.json names it)"]


def test_a_file_that_ends_too_early_is_told_with_both_sizes(folder: Path) -> None:
    path = folder / "model-00001-of-00002.safetensors"
    path.write_bytes(WHOLE[:-3])
    size = len(WHOLE)
    assert wrong(folder) == [f"{path.name} has {size - 3} bytes and should have {size}: it is cut off"]
    path.write_bytes(WHOLE[:20])
    assert wrong(folder) == [f"{path.name} is no safetensors file, or not all of one: its header is cut off"]


def test_each_file_that_is_not_what_was_downloaded_is_told_once(folder: Path) -> None:
    with_manifest(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()
    (folder / "config.json").write_text("{ }")
    (folder / "model-00002-of-00002.safetensors").write_bytes(WHOLE[:-1] + b"!")
    told = wrong(folder)
    assert len(told) == 3
    assert "config.json has 3 bytes and should have 2" in told
    assert "model-00001-of-00002.safetensors is missing" in told
    assert any(line.startswith("model-00002-of-00002.safetensors has another content") for line in told)


def test_a_large_file_of_the_right_size_is_read_only_where_that_is_asked_for(folder: Path) -> None:
    large = folder / "model-00001-of-00002.safetensors"
    with large.open("wb") as file:
        file.write(WHOLE)
        file.truncate(HASHED_BYTES + 1)
    with_manifest(folder)
    with large.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    assert wrong(folder) == []
    assert len(wrong(folder, with_hashes=True)) == 1


def test_a_folder_without_weights_is_told_unless_none_are_needed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert wrong(tmp_path) == [f"there are no weights in {tmp_path}"]
    assert wrong_files(tmp_path, with_hashes=False, needs_weights=False) == []


def test_an_index_that_is_none_is_told(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]")
    [line] = wrong(folder)
    assert line.startswith("model.safetensors.index.json cannot be read")
