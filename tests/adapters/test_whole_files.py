import os
from pathlib import Path

import pytest

from proxy.adapters.whole_files import replace


def test_a_file_is_replaced_whole_and_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    path, before = tmp_path / "x.json", os.umask(0)
    try:
        replace(path, b"old")
        replace(path, b"new")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_the_old_one_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    replace(path, b"old")
    (tmp_path / "x.json.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
