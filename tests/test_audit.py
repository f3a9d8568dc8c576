"""The audit of a running proxy: when its lines are on the disk, when a segment ends."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from proxy import audit as module
from proxy.adapters import audit_files
from proxy.adapters.audit_files import AuditFiles, Standing
from proxy.adapters.audit_folder import AuditError, read_deleted, read_head, read_key, segments_in
from proxy.audit import Audit
from proxy.core.audit_check import Whole, check
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_records import acted
from proxy.core.audit_rows import lines_of
from proxy.core.chain import Line
from proxy.core.key_errors import AuditFailed
from tests.upstream.conftest import until

RECORD = acted("now", "ann", "x" * 100)


def audit(folder: Path, segment_bytes: int = 2**20, **more: Any) -> Audit:
    key = read_key(folder)
    return Audit(AuditFiles(folder, key), Hasher(key), segment_bytes, **more)


def checked(folder: Path) -> object:
    return check(segments_in(folder), read_head(folder), read_key(folder), read_deleted(folder))


async def test_lines_are_signed_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_EVERY_S", 0.01)
    one = audit(tmp_path)
    running = asyncio.create_task(one.run())
    assert await one.begin(lambda *_: RECORD) == 2
    one.note(RECORD)
    assert checked(tmp_path) == Whole(3, 2, 0)
    await until(lambda: checked(tmp_path) == Whole(3, 0, 0))
    running.cancel()
    one.close()
    assert checked(tmp_path) == Whole(4, 0, 0)


async def test_a_segment_ends_when_it_is_long_and_when_the_day_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_EVERY_S", 0.01)
    one = audit(tmp_path, segment_bytes=2000)
    running = asyncio.create_task(one.run())
    for _ in range(20):
        one.act("ann", "x" * 100)
    await until(lambda: len(list(segments_in(tmp_path))) == 2)
    day = module._today()
    monkeypatch.setattr(module, "_today", lambda: day + 1)
    await until(lambda: len(list(segments_in(tmp_path))) == 3)
    running.cancel()
    one.close()
    assert isinstance(checked(tmp_path), Whole)


async def test_lines_that_are_written_while_others_are_synced_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_EVERY_S", 0.0)
    one = audit(tmp_path, segment_bytes=3000)
    running = asyncio.create_task(one.run())
    for _ in range(300):
        one.note(RECORD)
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    one.close()
    told = checked(tmp_path)
    assert isinstance(told, Whole)
    assert told.unsigned == 0
    assert one.lost == 0


async def test_what_cannot_be_written_is_an_error_before_and_counted_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = audit(tmp_path)

    def fails(*_: object) -> int:
        raise AuditError("the audit cannot be written: No space left on device")

    monkeypatch.setattr(one._files, "write", fails)
    with pytest.raises(AuditFailed, match="nothing is answered without it"):
        await one.begin(lambda *_: RECORD)
    one.note(RECORD)
    assert one.lost == 2
    assert "No space left on device (2 lines are lost" in caplog.text


async def test_where_it_is_not_required_a_request_goes_on_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = audit(tmp_path, is_required=False)

    def fails(*_: object) -> int:
        raise AuditError("full")

    monkeypatch.setattr(one._files, "write", fails)
    assert await one.begin(lambda *_: RECORD) == 0
    assert one.lost == 1


async def test_old_segments_go_by_and_by_and_that_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_EVERY_S", 0.01)
    with monkeypatch.context() as long_ago:
        long_ago.setattr(audit_files.time, "time", lambda: 1.0)
        audit(tmp_path).close()
        one = audit(tmp_path, keep_days=30)
    running = asyncio.create_task(one.run())
    said = "deleted audit-000001.jsonl, which was older than 30 days"
    await until(lambda: any(said.encode() in segment.content for segment in segments_in(tmp_path, may_go=True)))
    assert not (tmp_path / "audit-000001.jsonl").exists()
    running.cancel()
    one.close()
    assert isinstance(checked(tmp_path), Whole)


async def test_lines_of_one_step_of_the_loop_are_written_together_and_a_bad_one_hinders_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = audit(tmp_path)
    writes, told = [], []
    write = one._files.write

    def counted(*records: object) -> int:
        writes.append(len(records))
        return write(*records)

    def fails(*_: object) -> Line:
        raise RuntimeError("planted")

    def then_fails(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(one._files, "write", counted)
    for record in (lambda *_: RECORD, fails, lambda *_: RECORD):
        one.soon(record, lambda n, refusal: told.append((n, refusal and refusal.code)))
        one.soon(lambda *_: RECORD, then_fails)
    assert writes == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert writes == [5]
    assert told == [(0, "audit_failed"), (2, None), (5, None)]
    assert "a line could not be made" in caplog.text
    one.close()
    assert checked(tmp_path) == Whole(7, 0, 0)


async def test_a_line_that_cannot_be_encoded_hinders_no_other(tmp_path: Path) -> None:
    one = audit(tmp_path)
    told: list[object] = []
    for who in ("ann", "half a character \ud800", "bob"):
        one.soon(
            lambda _, n, who=who: acted("now", who, str(n)),
            lambda n, refusal: told.append((n, refusal and refusal.code)),
        )
    await until(lambda: len(told) == 3)
    assert (told, one.lost) == ([(2, None), (0, "audit_failed"), (3, None)], 1)
    one.close()
    assert checked(tmp_path) == Whole(4, 0, 0)
    acts = [line for line in lines_of(segments_in(tmp_path)) if line["kind"] == "act"]
    assert [line["what"] for line in acts] == [str(line["n"]) for line in acts], "each knew its number"


@pytest.mark.parametrize("is_strict", [False, True])
async def test_lines_wait_for_more_while_many_come_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_strict: bool
) -> None:
    one = audit(tmp_path, is_strict=is_strict)
    batches: list[int] = []
    write = one._files.write
    monkeypatch.setattr(one._files, "write", lambda *records: batches.append(len(records)) or write(*records))
    told: list[int] = []

    def come(lines: int) -> None:
        for _ in range(lines):
            one.soon(lambda *_: acted("now", "ann", "x"), lambda n, _: told.append(n))

    async def done(lines: int) -> list[int]:
        await until(lambda: len(told) == lines)
        seen = batches[:]
        batches.clear()
        told.clear()
        return seen

    come(1)
    assert await done(1) == [1]
    for lines in (module.MANY, module.MANY, module.MANY - 1):
        come(lines)
        await asyncio.sleep(0)
    assert await done(3 * module.MANY - 1) == [3 * module.MANY - 1]
    steps = module.MOST_STEPS + 3
    for _ in range(steps):
        come(module.MANY)
        await asyncio.sleep(0)
    first, *rest = await done(steps * module.MANY)
    assert first == (module.MOST_STEPS + 1) * module.MANY
    assert sum(rest) == 2 * module.MANY
    one.close()


async def test_lines_wait_for_no_more_than_can_be_made_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = audit(tmp_path)
    batches: list[int] = []
    write = one._files.write
    monkeypatch.setattr(one._files, "write", lambda *records: batches.append(len(records)) or write(*records))
    for lines, size in ((module.MOST_LINES, 0), (module.MANY, module.MOST_BYTES)):
        for _ in range(3):
            for _ in range(lines):
                one.soon(lambda *_: RECORD, lambda *_: None, size)
            await asyncio.sleep(0)
        await until(lambda: not one._entries)
        assert batches == [lines] * 3
        batches.clear()
    one.close()


@pytest.mark.parametrize("is_strict", [False, True])
async def test_what_comes_as_it_closes_is_written_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_strict: bool
) -> None:
    one = audit(tmp_path, is_strict=is_strict)
    told: list[tuple[int, AuditFailed | None]] = []
    syncing, may = threading.Event(), threading.Event()
    commit = AuditFiles.commit

    def slow(files: AuditFiles, standing: Standing) -> None:
        syncing.set()
        assert may.wait(10)
        commit(files, standing)

    monkeypatch.setattr(AuditFiles, "commit", slow)
    one.soon(lambda *_: RECORD, lambda *of: told.append(of))
    if is_strict:
        await until(syncing.is_set)
    one.soon(lambda *_: RECORD, lambda *of: told.append(of))
    may.set()
    one.close()
    await until(lambda: len(told) == 2)
    assert sorted(told, key=lambda of: of[0]) == [(2, None), (3, None)]
    one.soon(lambda *_: RECORD, lambda *of: told.append(of))
    one.note(RECORD)
    await asyncio.sleep(0.01)
    assert isinstance(told[2][1], AuditFailed)
    assert one.lost == 2
    assert len(list(segments_in(tmp_path))) == 1
    assert checked(tmp_path) == Whole(4, 0, 0)


async def test_what_has_happened_stands_behind_what_came_before_it(tmp_path: Path) -> None:
    one = audit(tmp_path)
    one.soon(lambda *_: acted("now", "ann", "first"), lambda *_: None)
    one.act("bob", "second")
    one.close()
    assert [line.get("what") for line in lines_of(segments_in(tmp_path))] == [None, "first", "second", None]


async def test_what_cannot_be_signed_is_not_gone_on_with_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SYNC_EVERY_S", 0.01)
    monkeypatch.setattr(module, "UNSIGNED_S", 0.1)
    one, lenient = audit(tmp_path / "a"), audit(tmp_path / "b", is_required=False)
    running = [asyncio.create_task(each.run()) for each in (one, lenient)]
    with monkeypatch.context() as full:
        full.setattr(audit_files.whole_files, "replace", fails_to_write)
        for each in (one, lenient):
            await each.begin(lambda *_: RECORD)
        await until(lambda: caplog.text.count("it is tried again") == 2)
        await one.begin(lambda *_: RECORD)
        await until(lambda: one.why_unsigned is not None)
        with pytest.raises(AuditFailed, match="cannot be signed"):
            await one.begin(lambda *_: RECORD)
        assert lenient.why_unsigned is None
    await until(lambda: one.why_unsigned is None)
    await one.begin(lambda *_: RECORD)
    assert "the audit is signed again" in caplog.text
    assert caplog.text.count("it is tried again") == 2, "once, and not each time"
    assert one.lost == lenient.lost == 0
    for each, task in zip((one, lenient), running, strict=True):
        task.cancel()
        each.close()
    assert isinstance(checked(tmp_path / "a"), Whole)


def fails_to_write(*_: object) -> None:
    raise OSError(28, "No space left on device")
