"""Group commit: many lines with one fdatasync, none told to be there before it is."""

import asyncio
import threading
from pathlib import Path

from proxy.adapters.audit_files import AuditError, AuditFiles, Standing, read_key
from proxy.commits import Commits


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
    disk.write({"a": 1})
    first = [commits.commit() for _ in range(3)]
    await asyncio.sleep(0.01)
    second = []
    for n in range(5):
        disk.write({"a": n})
        second.append(commits.commit())
        await asyncio.sleep(0)
    assert not any(done.done() for done in first + second)
    disk.may.release()
    assert await asyncio.gather(*first) == [None] * 3
    assert not any(done.done() for done in second)
    disk.may.release()
    assert await asyncio.gather(*second) == [None] * 5
    assert disk.until == [2, 7]
    commits.close()


async def test_who_has_left_is_no_trouble_for_the_others(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    commits = Commits(disk, lambda _: None)
    left, stays = commits.commit(), commits.commit()
    left.cancel()
    disk.may.release()
    assert await stays is None
    later = commits.commit()
    disk.may.release()
    assert await later is None
    commits.close()


async def test_what_cannot_be_on_the_disk_is_told_to_all_that_waited_and_logged_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    failed: list[AuditError] = []
    commits = Commits(disk, failed.append)
    disk.error = AuditError("No space left on device")
    waiting = [commits.commit() for _ in range(3)]
    disk.may.release()
    assert await asyncio.gather(*waiting) == [disk.error] * 3
    assert failed == [disk.error]
    disk.error = None
    disk.may.release()
    assert await commits.commit() is None
    commits.close()
