"""The audit of the running proxy: what is asked, what became of it, what people do; one line each, in a signed chain.

Rule: a request is noted before it is forwarded, and what became of it before its answer ends. A line is the kernel's
when it is noted, so that no kill of the proxy loses it, and on the disk within `SYNC_EVERY_S`, so that a loss of power
costs no more than that; in the strict mode it is on the disk before anything else is done. Where a line cannot be
written, nothing is forwarded.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from proxy.adapters.audit_files import AuditFiles, LineError
from proxy.adapters.audit_folder import AuditError
from proxy.commits import Commits
from proxy.core.allowance import DAY_S
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_records import PROXY, acted, moment
from proxy.core.chain import Line
from proxy.core.key_errors import AuditFailed

log = logging.getLogger(__name__)

SYNC_EVERY_S = 0.2
LOOK_EVERY_S = 600.0
"""So often, and at the beginning, it is looked for segments that are old enough."""
UNSIGNED_S = 1.0
"""For so long requests go on while the head cannot be signed: what is written meanwhile could be cut off unseen."""
TRY_AGAIN_S = 10.0
MANY = 4
"""While a step of the loop brings so many more lines, they wait for the next step: together they cost less."""
MOST_STEPS = 8
"""They wait for no more than so many."""
MOST_LINES, MOST_BYTES = 64, 2**18
"""So many lines wait for no more, nor those for which so much is to be read: the loop does nothing else meanwhile."""

Record = Callable[[str, int], Line]
"""Makes the line of that number, at a moment."""
Then = Callable[[int, AuditFailed | None], None]


class Audit:
    """Writes into `files`; a segment is closed when it is `segment_bytes` long, and when the day (of UTC) ends.

    Closed ones are deleted after `keep_days`; None is never. Where it `is_required`, nothing is forwarded that cannot
    be noted. Where it `is_strict`, a line counts as noted when it is on the disk.
    """

    def __init__(
        self,
        files: AuditFiles,
        hasher: Hasher,
        segment_bytes: int,
        *,
        keep_days: int | None = None,
        is_required: bool = True,
        is_strict: bool = False,
    ) -> None:
        self.hasher = hasher
        self.is_strict = is_strict
        self.lost = 0
        """Lines that could not be written."""
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._entries: list[tuple[Record, Then]] = []
        self._size = 0
        """Bytes that are to be read for them."""
        self._commits = Commits(files, self._failed)
        self._segment_bytes = segment_bytes
        self._keep_days = keep_days
        self._is_required = is_required
        self._day = _today()
        self._synced = 0
        self._unsigned_since: float | None = None
        """Since when its head could not be signed, by the loop's clock."""
        self._deleting: asyncio.Task[None] | None = None
        """What looks for old segments, in a thread: that of many takes longer than lines may wait for their sync."""

    def __repr__(self) -> str:
        return f"<Audit {self._files!r}>"

    def soon(self, record: Record, then: Then, size: int = 0) -> None:
        """Note what `record` makes, with all else that comes about now, and tell `then` of it.

        That is: the number of its line, or why nothing may be done that depends on it. `record` reads `size` bytes.
        Many at once cost far less than as many one by one: what makes and writes a line is in the processor's caches
        for all but the first, and in the strict mode they share a commit.
        """
        if not self._entries:
            self._loop.call_soon(self._gather, 0, MOST_STEPS)
        self._entries.append((record, then))
        self._size += size

    async def begin(self, record: Record) -> int:
        """What is about to be done, as to forward a request; returns the number of its line.

        Raises: AuditFailed: it must not be done.
        """
        if (why := self.why_unsigned) is not None:
            raise why
        done: asyncio.Future[int] = self._loop.create_future()

        def then(n: int, error: AuditFailed | None) -> None:
            if done.done():  # who waited has left
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(n)

        self.soon(record, then)
        return await done

    def note(self, record: Line) -> None:
        """What has happened anyway, behind all that came before. What cannot be written is counted and logged."""
        self._write()
        try:
            self._files.write(record)
        except AuditError as error:
            self._failed(error)

    def act(self, who: str, what: str, model: str = "") -> None:
        """Somebody did something."""
        self.note(acted(moment(time.time()), who, what, model))

    async def run(self) -> None:
        """Have the lines on the disk, and begin a new segment when it is time, until cancelled."""
        looks_at = self._loop.time()
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            try:
                if self._files.n != self._synced:
                    await self._sync()
                if self._files.size > self._segment_bytes or _today() != self._day:
                    self._files.rotate()
                    self._day = _today()
                if self._loop.time() >= looks_at and (self._deleting is None or self._deleting.done()):
                    looks_at = self._loop.time() + LOOK_EVERY_S
                    self._deleting = asyncio.create_task(self._delete_old())
            except AuditError as error:
                log.warning("%s", error)
            except Exception:  # what comes next is tried all the same
                log.exception("the audit was not looked after")

    async def _sync(self) -> None:
        try:
            self._synced = await asyncio.to_thread(self._files.sync, self._files.standing)
        except AuditError as error:
            if self._unsigned_since is None:
                self._unsigned_since = self._loop.time()
                log.warning("%s: what is not signed could be cut off; it is tried again", error)
        else:
            if self._unsigned_since is not None:
                log.warning("the audit is signed again")
            self._unsigned_since = None

    @property
    def why_unsigned(self) -> AuditFailed | None:
        """Why nothing may be forwarded though lines can be written; None where it may."""
        if (since := self._unsigned_since) is None or self._loop.time() - since < UNSIGNED_S:
            return None
        return self._refusal("signed")

    def close(self) -> None:
        """Sign the end."""
        self._write()
        self._commits.close()
        failed = None
        try:
            self._files.close()
        except AuditError as error:
            failed = error
            self._failed(error)
        self._commits.finish(failed)

    async def _delete_old(self) -> None:
        if self._keep_days is None:
            return
        before = time.time() - self._keep_days * DAY_S
        try:
            for name in await asyncio.to_thread(self._files.delete_before, before):
                self.act(PROXY, f"deleted {name}, which was older than {self._keep_days} days")
        except AuditError as error:
            log.warning("%s: see `manage_vllm.sh audit verify`", error)

    def _gather(self, before: int, steps: int) -> None:
        """`before` were there a step ago, and `steps` more may be waited for."""
        now = len(self._entries)
        if steps and now - before >= MANY and now < MOST_LINES and self._size < MOST_BYTES:
            self._loop.call_soon(self._gather, now, steps - 1)
        else:
            self._write()

    def _write(self) -> None:
        if not self._entries:  # they were written as it closed
            return
        entries, self._entries, self._size = self._entries, [], 0
        self._put(entries)

    def _put(self, entries: list[tuple[Record, Then]]) -> None:
        records: list[Line] = []
        made: list[tuple[Record, Then]] = []
        at, n = moment(time.time()), self._files.next_n
        for entry in entries:
            try:
                records.append(entry[0](at, n + len(records)))
                made.append(entry)
            except Exception:
                log.exception("a line could not be made")
                self.lost += 1
                _tell([entry[1]], None, self._refusal())
        if not made:
            return
        noted = [then for _, then in made]
        try:
            last = self._files.write(*records)
        except AuditError as error:
            if isinstance(error, LineError) and len(made) > 1:  # one of them is no reason to lose the others
                for entry in made:
                    self._put([entry])
                return
            self._failed(error, len(noted))
            _tell(noted, None, self._refusal())
            return
        first = last - len(noted) + 1
        if not self.is_strict:
            _tell(noted, first, None)
            return
        self._commits.commit(lambda error: _tell(noted, first, None if error is None else self._refusal()))

    def _refusal(self, done: str = "written") -> AuditFailed | None:
        what = f"the audit cannot be {done}, and nothing is answered without it"
        return AuditFailed(what, retry_after_s=TRY_AGAIN_S) if self._is_required else None

    def _failed(self, error: AuditError, lines: int = 1) -> None:
        self.lost += lines
        log.warning("%s (%d lines are lost since the proxy began)", error, self.lost)


def _tell(noted: list[Then], first: int | None, refusal: AuditFailed | None) -> None:
    """`first` is the number of the first line; None where there are none."""
    for place, then in enumerate(noted):
        try:
            then(0 if first is None else first + place, refusal)
        except Exception:
            log.exception("a line was written, and nothing followed")


def _today() -> int:
    return datetime.now(UTC).toordinal()
