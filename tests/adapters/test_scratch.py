"""The temporary files of engines: each its own folder, and nothing of the one before in it."""

import socket
from pathlib import Path

import pytest

from proxy.adapters.scratch import NAME, Scratch
from proxy.core.addresses import LONGEST_SOCKET_BYTES


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(tmp_path_factory.mktemp("x") / "tmp")  # a test's own folder has too long a path


def test_what_an_engine_left_is_gone_when_the_next_begins_and_no_others(scratch: Scratch) -> None:
    folder, other = Path(scratch.env("a")["TMPDIR"]), Path(scratch.env("b")["TMPDIR"])
    assert [one.stat().st_mode & 0o777 for one in (folder, folder.parent)] == [0o700, 0o700]
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    (other / "file").touch()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    scratch.env("a")
    assert len(list(folder.iterdir())) == 2
    scratch.clear("a")
    assert list(Path(scratch.env("a")["TMPDIR"]).iterdir()) == []
    assert (other / "file").exists()


def test_a_link_in_its_place_is_removed_and_nothing_behind_it(scratch: Scratch, tmp_path: Path) -> None:
    folder = Path(scratch.env("a")["TMPDIR"])
    folder.rmdir()
    (tmp_path / "file").touch()
    folder.symlink_to(tmp_path)
    scratch.clear("a")
    scratch.env("a")
    assert not folder.is_symlink()
    assert (tmp_path / "file").exists()


def test_a_name_that_is_too_long_for_sockets_has_a_short_one_and_a_root_that_is_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    room = LONGEST_SOCKET_BYTES - NAME - len("r/")
    scratch = Scratch(Path("r"))
    assert scratch.env("m" * room) == {"TMPDIR": "r/" + "m" * room}
    assert len(scratch.env("m" * (room + 1))["TMPDIR"]) == len("r/12345678")
    assert Scratch(Path("r" * (LONGEST_SOCKET_BYTES - NAME))).env("a") == {}


def test_the_longest_path_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long"):
        one.bind("x" * (LONGEST_SOCKET_BYTES + 1))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("x" * LONGEST_SOCKET_BYTES)


def test_an_engine_starts_without_one_where_none_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tmp").touch()
    monkeypatch.chdir(tmp_path)
    assert Scratch(Path("tmp")).env("a") == {}
    assert "a: no folder for temporary files: " in caplog.text
