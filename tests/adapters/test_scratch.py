"""The temporary files of engines: each its own folder, and nothing of the one before in it."""

import socket
from pathlib import Path

import pytest

from proxy.adapters.scratch import LONGEST, NAME, Scratch


def test_what_an_engine_left_is_gone_when_the_next_begins(tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = Scratch(tmp_path_factory.mktemp("x") / "tmp")  # a test's own folder has too long a path
    scratch.renew("a")
    folder = Path(scratch.env("a")["TMPDIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    scratch.renew("b")
    assert len(list(folder.iterdir())) == 2, "another's is left alone"
    scratch.renew("a")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("length", "has_room"), [(LONGEST - NAME, True), (LONGEST - NAME + 1, False)])
def test_where_sockets_would_have_too_long_a_path_vllm_takes_its_own(length: int, has_room: bool) -> None:
    root = Path("/" + "r" * (length - len("//ä".encode())))
    assert bool(Scratch(root).env("ä")) is has_room


def test_the_longest_path_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long"):
        one.bind("x" * (LONGEST + 1))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("x" * LONGEST)


def test_an_engine_starts_without_one_where_none_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tmp").touch()
    Scratch(tmp_path / "tmp").renew("a")
    assert "a: no folder for temporary files: " in caplog.text
