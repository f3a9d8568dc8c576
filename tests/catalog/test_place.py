from pathlib import Path

import pytest

from catalog.place import folder_of, free_bytes, gib, is_there, lock, lock_of, staging_of, what_is_in_the_way
from tests.catalog.hub_stage import model


def test_a_gguf_file_lies_in_a_folder_of_its_own_and_is_what_makes_the_model_there(tmp_path: Path) -> None:
    spec = model(tmp_path, weights=str(tmp_path / "g" / "x.gguf"))
    assert folder_of(spec) == tmp_path / "g"
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "config.json").touch()
    assert not is_there(spec)
    (tmp_path / "g" / "x.gguf").touch()
    assert is_there(spec)


def test_a_folder_is_a_model_by_its_configuration(tmp_path: Path) -> None:
    spec = model(tmp_path)
    assert folder_of(spec) == tmp_path / "models" / "m"
    folder_of(spec).mkdir(parents=True)
    assert not is_there(spec)
    (folder_of(spec) / "config.json").touch()
    assert is_there(spec)


def test_what_is_no_model_and_not_empty_is_in_the_way(tmp_path: Path) -> None:
    assert what_is_in_the_way(tmp_path / "nothing") is None
    assert what_is_in_the_way(tmp_path) is None
    (tmp_path / "mine").touch()
    assert what_is_in_the_way(tmp_path) == f"{tmp_path} is there and is no model (no config.json): move it away first"
    assert what_is_in_the_way(tmp_path / "mine") is not None


def test_downloads_gather_beside_their_place_on_the_same_disk(tmp_path: Path) -> None:
    assert staging_of(tmp_path / "a.b") == tmp_path / "a.b.download"
    assert lock_of(tmp_path / "a.b") == tmp_path / ".a.b.lock"
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(free_bytes(tmp_path), rel=0.1)
    assert gib(3 * 2**29) == "1.50 GiB"


def test_the_second_who_wants_the_lock_says_so_and_waits(tmp_path: Path) -> None:
    first = lock(tmp_path / "deep" / ".lock", pytest.fail)
    first.__enter__()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        first.__exit__(None, None, None)

    with lock(tmp_path / "deep" / ".lock", say):
        assert said == ["another download is under way: waiting for it"]
