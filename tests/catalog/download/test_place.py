import subprocess
from pathlib import Path

import pytest

from catalog.download.place import (
    amount,
    free_bytes,
    is_there,
    lock,
    lock_of,
    staging_of,
    what_is_in_the_way,
)
from tests.catalog.download.hub_stage import model


def test_a_gguf_file_lies_in_a_folder_of_its_own_and_is_what_makes_the_model_there(tmp_path: Path) -> None:
    spec = model(tmp_path, weights=str(tmp_path / "g" / "x.gguf"))
    assert spec.folder == tmp_path / "g"
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "config.json").touch()
    assert not is_there(spec)
    (tmp_path / "g" / "x.gguf").touch()
    assert is_there(spec)


def test_a_folder_is_a_model_by_its_configuration(tmp_path: Path) -> None:
    spec = model(tmp_path)
    assert spec.folder == tmp_path / "models" / "m"
    spec.folder.mkdir(parents=True)
    assert not is_there(spec)
    (spec.folder / "config.json").touch()
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
    assert (amount(3 * 2**29), amount(3 * 2**19)) == ("1.50 GiB", "1.5 MiB")


def test_the_second_who_wants_the_lock_says_so_and_waits(tmp_path: Path) -> None:
    first = lock(tmp_path / "deep" / ".lock", pytest.fail)
    first.__enter__()
    said: list[str] = []
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.__exit__(None, None, None)

    with lock(tmp_path / "deep" / ".lock", said.append, wait):
        assert said == ["another download is under way: waiting for it"]
    assert len(waits) == 3


def test_who_waits_for_the_lock_can_be_told_to_stop(tmp_path: Path) -> None:
    def wait(_: float) -> None:
        raise KeyboardInterrupt

    with lock(tmp_path / ".lock", pytest.fail), pytest.raises(KeyboardInterrupt):
        lock(tmp_path / ".lock", lambda _: None, wait).__enter__()


def test_a_program_that_inherits_the_lock_holds_it_until_it_ends(tmp_path: Path) -> None:
    with lock(tmp_path / ".lock", pytest.fail) as held:
        child = subprocess.Popen(["sleep", "600"], pass_fds=[held])  # noqa: S607
    said: list[str] = []

    def wait(_: float) -> None:
        child.kill()
        child.wait()

    with lock(tmp_path / ".lock", said.append, wait):
        assert said == ["another download is under way: waiting for it"]
