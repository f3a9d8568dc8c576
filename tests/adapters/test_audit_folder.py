"""The audit's folder as everybody reads it; as it is written is in test_audit_files."""

from pathlib import Path

import pytest

from proxy.adapters.audit_folder import AuditError, read_head, read_key, segments_in


def test_a_segment_that_is_deleted_while_they_are_read_is_missed_only_by_who_must_have_all(tmp_path: Path) -> None:
    for n in (1, 2, 3):
        (tmp_path / f"audit-{n:06}.jsonl").write_text(f"{n}\n")
    lax, strict = segments_in(tmp_path, may_go=True), segments_in(tmp_path)
    assert next(lax).name == next(strict).name == "audit-000001.jsonl"
    (tmp_path / "audit-000002.jsonl").unlink()
    assert [segment.content for segment in lax] == [b"3\n"]
    with pytest.raises(AuditError, match=r"audit-000002\.jsonl cannot be read: No such file"):
        list(strict)


def test_of_those_that_ended_before_a_moment_none_is_read(tmp_path: Path) -> None:
    for n, at in enumerate(("2026-01-01T00", "2026-01-02T00", "2026-01-03T00"), 1):
        (tmp_path / f"audit-{n:06}.jsonl").write_text(f'{{"at": "{at}"}}\n{n}\n')

    def found(since: str | None) -> str:
        return "".join(segment.name[-7] for segment in segments_in(tmp_path, since=since))

    assert (found(None), found("2025"), found("2026-01-02T00"), found("2026-01-02T12"), found("2027")) == (
        *("123", "123", "123", "23", "3"),
    )
    (tmp_path / "audit-000002.jsonl").write_text("damaged")
    assert found("2027") == "123", "what cannot be read is for who reads it to say"


def test_one_that_is_there_and_cannot_be_read_is_an_error_for_all(tmp_path: Path) -> None:
    (tmp_path / "audit-000001.jsonl").mkdir()
    with pytest.raises(AuditError, match="Is a directory"):
        list(segments_in(tmp_path, may_go=True))


def test_a_key_is_made_once_and_a_short_one_or_a_lost_one_is_refused(tmp_path: Path) -> None:
    key = read_key(tmp_path / "audit")
    assert read_key(tmp_path / "audit") == key
    path = tmp_path / "audit" / "audit.key"
    path.write_text(key.hex()[:20])
    with pytest.raises(AuditError, match="too short"):
        read_key(path.parent)
    path.unlink()
    (path.parent / "audit-000001.jsonl").touch()
    with pytest.raises(AuditError, match="put it back"):
        read_key(path.parent)


def test_a_head_that_is_none_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    assert read_head(tmp_path) is None
    (tmp_path / "head.json").write_text('{"n": "x"}')
    with pytest.raises(AuditError, match=r"head\.json cannot be read"):
        read_head(tmp_path)
