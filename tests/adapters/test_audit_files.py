import os
from pathlib import Path

import pytest

from proxy.adapters import audit_files
from proxy.adapters.audit_files import AuditError, AuditFiles, read_deleted, read_head, read_key, segments_in
from proxy.core.audit_check import Fault, Whole, check


def checked(folder: Path) -> Whole | Fault:
    return check(segments_in(folder), read_head(folder), read_key(folder))


def files(folder: Path) -> AuditFiles:
    return AuditFiles(folder, read_key(folder))


def test_what_is_written_is_a_chain_that_goes_on_in_the_next_life(tmp_path: Path) -> None:
    for life in range(3):
        one = files(tmp_path)
        for number in range(5):
            one.write({"kind": "act", "who": f"{life} {number}"})
        one.close()
    assert checked(tmp_path) == Whole(3 * 7, 0, 0)
    assert len(list(segments_in(tmp_path))) == 3


def test_a_segment_is_closed_and_the_chain_goes_on_in_the_next(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write({"kind": "act"})
    one.rotate()
    one.write({"kind": "act"})
    assert checked(tmp_path) == Whole(5, 1, 0)
    one.sync(one.standing)
    assert checked(tmp_path) == Whole(5, 0, 0)


def test_what_was_written_is_there_however_the_proxy_ends(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write({"kind": "act"})
    assert checked(tmp_path) == Whole(2, 1, 0)
    again = files(tmp_path)
    again.close()
    assert checked(tmp_path) == Whole(4, 0, 0)


def test_half_a_line_is_left_where_it_is_and_noted(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write({"kind": "act"})
    with (tmp_path / "audit-000001.jsonl").open("ab") as file:
        file.write(b'{"n":3,"pr')
    assert checked(tmp_path) == Whole(2, 1, 10)
    files(tmp_path).close()
    assert checked(tmp_path) == Whole(4, 0, 0)


def test_a_disk_that_is_full_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = files(tmp_path)
    write = os.write
    monkeypatch.setattr(audit_files.os, "write", lambda fd, data: write(fd, data[:5]))
    with pytest.raises(AuditError, match="the disk is full"):
        one.write({"kind": "act"})
    monkeypatch.undo()
    one.write({"kind": "act"})
    one.close()
    assert checked(tmp_path) == Whole(3, 0, 0)


def test_all_is_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files(tmp_path / "audit").close()
    finally:
        os.umask(before)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "audit").iterdir()} == {0o600}


def test_a_key_that_is_gone_is_not_replaced_where_there_is_an_audit(tmp_path: Path) -> None:
    files(tmp_path).close()
    (tmp_path / "audit.key").unlink()
    with pytest.raises(AuditError, match="is missing, and there is an audit that was signed with it"):
        read_key(tmp_path)


@pytest.mark.parametrize("content", ["", "no hex", "ab"])
def test_a_key_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit.key").write_text(content)
    with pytest.raises(AuditError, match=r"audit\.key cannot be used"):
        read_key(tmp_path)


def test_an_audit_that_ends_with_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    files(tmp_path).close()
    (tmp_path / "audit-000001.jsonl").write_bytes(b"something else\n")
    with pytest.raises(AuditError, match="audit verify"):
        files(tmp_path)


def test_a_head_that_is_damaged_is_told(tmp_path: Path) -> None:
    files(tmp_path).close()
    (tmp_path / "head.json").write_text("{")
    with pytest.raises(AuditError, match=r"head\.json cannot be read"):
        read_head(tmp_path)


def test_old_segments_are_deleted_and_what_is_left_is_whole(tmp_path: Path) -> None:
    one = files(tmp_path)
    for _ in range(3):
        one.write({"kind": "act"})
        one.rotate()
    for name in ("audit-000001.jsonl", "audit-000003.jsonl"):
        os.utime(tmp_path / name, (1.0, 1.0))
    assert one.delete_before(2.0) == ["audit-000001.jsonl"], "a gap would be a fault"
    before = read_deleted(tmp_path)
    assert before is not None
    assert before.n == 3
    one.close()
    assert check(segments_in(tmp_path), read_head(tmp_path), read_key(tmp_path), before) == Whole(8, 0, 0)
    assert isinstance(checked(tmp_path), Fault), "without the signed end it is no whole one"
    files(tmp_path).close()
    assert isinstance(check(segments_in(tmp_path), read_head(tmp_path), read_key(tmp_path), before), Whole)


def test_the_segment_that_is_written_now_is_never_deleted(tmp_path: Path) -> None:
    one = files(tmp_path)
    assert one.delete_before(10.0**12) == []
    one.close()
