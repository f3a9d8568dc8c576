"""Group commit: many lines with one fdatasync, none told to be there before it is."""

import asyncio
import threading
from pathlib import Path

from proxy.adapters.audit_files import AuditFiles, Standing
from proxy.adapters.audit_folder import AuditError, read_key
from proxy.commits import Commits
from proxy.core.audit_records import acted
from tests.upstream.conftest import until


class Disk(AuditFiles):
    """Real files, whose fdatasync takes until it is let."""

    def __init__(self, folder: Path) -> None:
        self.may = threading.Semaphore(1)
        self.until: list[int] = []
        self.error: AuditError | None = None
        super().__init__(folder, read_key(folder))
        self.until.clear()

    def commit(self, standing: Standing) -> None:
        assert self.may.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        super().commit(standing)
        self.until.append(standing[0])


async def test_who_comes_while_one_is_under_way_goes_with_the_next(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    commits = Commits(disk, lambda _: None)
    told: list[tuple[int, AuditError | None]] = []
    for n in range(8):
        disk.write(acted("", "", str(n)))
        commits.commit(lambda error, n=n: told.append((n, error)))
        await asyncio.sleep(0)
    assert told == []
    disk.may.release()
    await until(lambda: len(told) == 1)
    await asyncio.sleep(0.01)
    assert told == [(0, None)]
    disk.may.release()
    await until(lambda: len(told) == 8)
    assert told == [(n, None) for n in range(8)]
    assert disk.until == [2, 9]
    commits.close()


async def test_what_cannot_be_on_the_disk_is_told_to_all_that_waited_and_logged_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    failed: list[AuditError] = []
    told: list[AuditError | None] = []
    commits = Commits(disk, failed.append)
    commits.commit(told.append)
    disk.error = AuditError("No space left on device")
    for _ in range(3):
        commits.commit(told.append)
    disk.may.release()
    await until(lambda: len(told) == 1)
    disk.may.release()
    await until(lambda: len(told) == 4)
    assert (told, failed) == ([disk.error] * 4, [disk.error] * 2)
    disk.error = None
    disk.may.release()
    commits.commit(told.append)
    await until(lambda: len(told) == 5)
    assert told[-1] is None
    commits.close()
