import os
import threading
from pathlib import Path

import msgspec
import pytest

from proxy.adapters.key_file import KeyFile, KeyFileError
from proxy.core.keys import Key, Role, Secret

A = Key(name="a", made_at=1.0, secrets=(Secret("0" * 12, "scrypt:x", 1.0),))
B = msgspec.structs.replace(A, name="b", role=Role.ADMIN, models=("m",), tokens_per_day=5)


def test_what_was_written_is_read_in_its_order(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "new" / "keys.json")
    assert file.read() == {}
    file.change(lambda keys: {"b": B, "a": A})
    assert list(file.read().items()) == [("b", B), ("a", A)]
    file.change(lambda keys: {"a": keys["a"]})
    assert file.read() == {"a": A}


def test_the_file_is_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFile(tmp_path / "keys" / "keys.json").change(lambda keys: {"a": A})
    finally:
        os.umask(before)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"keys": [{"name": "a"}]}', b'{"keys": [], "x": 1}', b"\xff"])
def test_a_damaged_file_is_an_error_and_never_no_keys(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"keys\.json is damaged"):
        KeyFile(path).read()
    with pytest.raises(KeyFileError):
        KeyFile(path).change(lambda keys: {"a": A})
    assert path.read_bytes() == content


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.change(lambda keys: {"a": A})
    file.path.chmod(0o640)
    with pytest.raises(KeyFileError, match="can be read by others: chmod 600"):
        file.read()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot be written: File exists"):
        KeyFile(tmp_path / "file" / "keys.json").change(lambda keys: keys)


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def add(name: str) -> None:
        KeyFile(tmp_path / "keys.json").change(lambda keys: keys | {name: msgspec.structs.replace(A, name=name)})

    threads = [threading.Thread(target=add, args=(f"k{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyFile(tmp_path / "keys.json").read()) == 20
