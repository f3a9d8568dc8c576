import os
from pathlib import Path

import pytest

from proxy.adapters import own_folders
from proxy.adapters.own_folders import OwnFolderError, make_own


@pytest.mark.parametrize("mode", [None, 0o700, 0o777, 0o750])
def test_only_its_user_can_enter_it_whatever_it_was_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int | None
) -> None:
    folder = tmp_path / "a" / "b"
    if mode is not None:
        folder.mkdir(parents=True)
        folder.chmod(mode)
    before = os.umask(0)
    try:
        make_own(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert ("was open to others" in caplog.text) is (mode in (0o777, 0o750))


def test_what_is_anothers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_folders.os, "geteuid", lambda: 12345)
    with pytest.raises(OwnFolderError, match=r"belongs to another user .* chown it"):
        make_own(tmp_path)


def test_what_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OwnFolderError, match="cannot be made this user's own: Not a directory"):
        make_own(tmp_path / "file" / "x")
