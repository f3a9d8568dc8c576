import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.adapters import audit_files
from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import AuditError, read_deleted, read_head, read_key, segments_in
from proxy.core.audit_check import Fault, Kind, Whole, check
from proxy.core.audit_records import Begin, acted, opened
from proxy.core.chain import Chain, Head, Marks


def checked(folder: Path) -> Whole | Fault:
    return check(segments_in(folder), read_head(folder), read_key(folder))


def files(folder: Path) -> AuditFiles:
    return AuditFiles(folder, read_key(folder))


def test_what_is_written_is_a_chain_that_goes_on_in_the_next_life(tmp_path: Path) -> None:
    for life in range(3):
        one = files(tmp_path)
        for number in range(5):
            one.write(acted("", f"{life} {number}", ""))
        one.close()
    assert checked(tmp_path) == Whole(3 * 7, 0, 0)
    assert len(list(segments_in(tmp_path))) == 3


def test_a_segment_is_closed_and_the_chain_goes_on_in_the_next(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write(acted("", "", ""))
    one.rotate()
    one.write(acted("", "", ""))
    assert checked(tmp_path) == Whole(5, 1, 0)
    one.sync(one.standing)
    assert checked(tmp_path) == Whole(5, 0, 0)


def test_what_was_written_is_there_however_the_proxy_ends(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write(acted("", "", ""))
    assert checked(tmp_path) == Whole(2, 1, 0)
    again = files(tmp_path)
    again.close()
    assert checked(tmp_path) == Whole(4, 0, 0)


def test_half_a_line_is_left_where_it_is_and_noted(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write(acted("", "", ""))
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
        one.write(acted("", "", ""))
    monkeypatch.undo()
    one.write(acted("", "", ""))
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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is."""
    now = [1.0]
    monkeypatch.setattr(audit_files.time, "time", lambda: now[0])
    return now


def test_old_segments_are_deleted_and_what_is_left_is_whole(tmp_path: Path, clock: list[float]) -> None:
    one = files(tmp_path)
    for at in (1.0, 100.0, 1.0):
        one.write(acted("", "", ""))
        clock[0] = at
        one.rotate()
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


@pytest.mark.parametrize("fails", ["the line that closes", "the sync of it", "the new file", "the line that opens"])
def test_a_disk_that_is_full_when_a_segment_ends_leaves_an_audit_that_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    key = read_key(tmp_path)
    one = AuditFiles(tmp_path, key)
    one.write(acted("now", "ann", "x"))
    is_full = [True]
    real = {name: getattr(audit_files.os, name) for name in ("write", "fdatasync", "open")}

    def full(name: str, is_it: Callable[..., bool]) -> Callable[..., Any]:
        def act(*given: Any) -> Any:
            if is_full[0] and is_it(*given):
                raise OSError(28, "No space left on device")
            return real[name](*given)

        return act

    monkeypatch.setattr(
        audit_files.os,
        *{
            "the line that closes": ("write", full("write", lambda _, data: b'"kind":"close"' in data)),
            "the sync of it": ("fdatasync", full("fdatasync", lambda _: True)),
            "the new file": ("open", full("open", lambda path, *_: "000002" in str(path))),
            "the line that opens": ("write", full("write", lambda _, data: b'"kind":"open"' in data)),
        }[fails],
    )
    with pytest.raises(AuditError):
        one.rotate()
    if fails in ("the new file", "the line that opens"):
        with pytest.raises(AuditError):
            one.write(acted("now", "ann", "lost"))
    is_full[0] = False
    one.write(acted("now", "ann", "y"))
    one.rotate()
    one.write(acted("now", "ann", "z"))
    one.close()
    assert isinstance(check(segments_in(tmp_path), read_head(tmp_path), key), Whole)
    said = "".join(segment.content.decode() for segment in segments_in(tmp_path))
    assert [what for what in "xyz" if f'"what":"{what}"' in said] == ["x", "y", "z"]
    assert "lost" not in said


def test_a_restart_does_not_hide_that_something_was_cut_off(tmp_path: Path) -> None:
    one = files(tmp_path)
    for _ in range(10):
        one.write(acted("", "", ""))
    one.close()
    path = tmp_path / "audit-000001.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    with pytest.raises(AuditError, match="line 12 was signed, and the last one is line 5"):
        files(tmp_path)
    path.write_bytes(whole.replace(b'"kind":"close"', b'"kind":"clos3"'))
    with pytest.raises(AuditError, match="line 12 was signed, and the last one is line 11"):
        files(tmp_path)
    path.write_bytes(whole.replace(b'"mac":"', b'"mac":"0'))
    with pytest.raises(AuditError, match="its last line is another"):
        files(tmp_path)
    path.write_bytes(whole)
    head = (tmp_path / "head.json").read_bytes()
    (tmp_path / "head.json").unlink()
    with pytest.raises(AuditError, match="its head is missing"):
        files(tmp_path)
    (tmp_path / "head.json").write_bytes(head.replace(b'"mac":"', b'"mac":"0'))
    with pytest.raises(AuditError, match="not signed with its key"):
        files(tmp_path)
    (tmp_path / "head.json").write_bytes(head)
    files(tmp_path).close()


@pytest.mark.parametrize("torn", [b"", b'{"n":13,"pr'])
def test_a_segment_in_which_no_line_is_whole_was_never_begun(tmp_path: Path, torn: bytes) -> None:
    one = files(tmp_path)
    one.write(acted("", "", ""))
    one.close()
    (tmp_path / "audit-000002.jsonl").write_bytes(torn)
    assert isinstance(checked(tmp_path), Whole)
    again = files(tmp_path)
    again.write(acted("", "", ""))
    again.close()
    assert isinstance(checked(tmp_path), Whole)


def test_what_was_signed_as_one_thing_is_nothing_else(tmp_path: Path) -> None:
    """An end of a segment, and a head, cannot be made into what deletion has signed, nor the other way round."""
    one = files(tmp_path)
    one.write(acted("", "", ""))
    one.rotate()
    one.close()
    key, head = read_key(tmp_path), read_head(tmp_path)
    assert check([], head, key, head) == Fault("deleted", 0, "it was not signed with the key of this audit")
    close = msgspec.json.decode((tmp_path / "audit-000001.jsonl").read_bytes().splitlines()[-1])
    made = Head(close["n"] - 1, close["prev"], close["mac"])
    told = check(list(segments_in(tmp_path))[:1], made, key)
    assert told == Fault("head", 0, "it was not signed with the key of this audit")


def test_a_deletion_that_was_killed_and_one_of_what_was_torn_leave_an_audit_that_is_whole(
    tmp_path: Path, clock: list[float]
) -> None:
    one = files(tmp_path)
    one.write(acted("", "", "x" * 3000))  # killed: the segment is not closed, and ends with a long line
    with (tmp_path / "audit-000001.jsonl").open("ab") as file:
        file.write(b'{"n":3,"torn')
    again = files(tmp_path)
    clock[0] = 100.0
    old = (tmp_path / "audit-000001.jsonl").read_bytes()
    assert again.delete_before(2.0) == ["audit-000001.jsonl"]
    again.write(acted("", "", ""))
    again.close()
    key, head, before = read_key(tmp_path), read_head(tmp_path), read_deleted(tmp_path)
    assert isinstance(check(segments_in(tmp_path), head, key, before), Whole)
    (tmp_path / "audit-000001.jsonl").write_bytes(old)  # killed between its signature and its end
    assert isinstance(check(segments_in(tmp_path), head, key, before), Whole)
    (tmp_path / "audit-000001.jsonl").write_bytes(old.replace(b"xxx", b"xxy", 1))
    assert isinstance(check(segments_in(tmp_path), head, key, before), Fault)
    (tmp_path / "audit-000001.jsonl").write_bytes(old)
    once_more = files(tmp_path)
    assert once_more.delete_before(2.0) == []
    once_more.close()
    assert not (tmp_path / "audit-000001.jsonl").exists()


def test_retention_signs_nothing_that_was_changed_or_put_there(tmp_path: Path, clock: list[float]) -> None:
    one = files(tmp_path)
    for _ in range(2):
        one.write(acted("", "", ""))
        one.rotate()
    clock[0] = 100.0
    first = tmp_path / "audit-000001.jsonl"
    genuine = first.read_bytes()
    first.write_bytes(genuine.replace(b'"act"', b'"end"'))
    with pytest.raises(AuditError, match="the line before it is another"):
        one.delete_before(2.0)
    first.write_bytes(genuine)
    (tmp_path / "audit-000000.jsonl").write_bytes((tmp_path / "audit-000002.jsonl").read_bytes())
    with pytest.raises(AuditError, match="it is numbered 4, and 1 should be here"):
        one.delete_before(2.0)
    assert read_deleted(tmp_path) is None
    (tmp_path / "audit-000000.jsonl").unlink()
    assert one.delete_before(2.0) == ["audit-000001.jsonl", "audit-000002.jsonl"]
    one.close()


def test_what_the_power_took_is_torn_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Of what was not on the disk yet some pages may be there, and others be zeros."""
    one = files(tmp_path)
    one.write(acted("", "", "1"))
    one.sync(one.standing)
    for number in range(5):
        one.write(acted("", "", str(number)))
    path = tmp_path / "audit-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = b"\0" * (len(lines[4]) - 20) + lines[4][-20:]
    path.write_bytes(b"".join(lines))
    torn = sum(map(len, lines[4:]))
    assert checked(tmp_path) == Whole(4, 2, torn)
    again = files(tmp_path)
    again.write(acted("", "", ""))
    again.close()
    assert checked(tmp_path) == Whole(7, 0, 0)
    path.write_bytes(b"".join(lines[:-1]))
    assert isinstance(checked(tmp_path), Fault), "as much as was noted stands behind it"


def test_a_disk_without_room_even_to_take_a_half_line_back_leaves_an_audit_that_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = files(tmp_path)
    write = os.write

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_files.os, "write", lambda fd, data: write(fd, data[:5]))
    monkeypatch.setattr(audit_files.os, "ftruncate", fails)
    with pytest.raises(AuditError, match="the disk is full"):
        one.write(acted("", "", ""))
    monkeypatch.undo()
    expected = one.next_n
    assert one.write(acted("", "", "")) == expected
    one.close()
    assert checked(tmp_path) == Whole(4, 0, 0)


def test_who_has_not_the_key_can_add_no_line_not_even_after_the_end(tmp_path: Path) -> None:
    one = files(tmp_path)
    one.write(acted("", "", ""))
    one.close()
    head = read_head(tmp_path)
    assert head is not None
    forged = Chain(Marks(b"guessed"), head.n, head.hash)
    lines = forged.add(opened("", 2, 0)) + forged.add(Begin(0, "", Kind.BEGIN, "", "forged"))
    (tmp_path / "audit-000002.jsonl").write_bytes(lines)
    assert (
        str(checked(tmp_path)) == "audit-000002.jsonl, line 1: the line before it is another than when it was written"
    )
    (tmp_path / "audit-000002.jsonl").rename(tmp_path / "audit-000000.jsonl")
    assert isinstance(checked(tmp_path), Fault)
