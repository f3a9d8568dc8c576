"""The audit as it is written: segments of lines, and the newest head, signed.

Rule: `write` returns when the line is the kernel's, so that no kill of this process loses it; `commit` when it is on
the disk, so that no loss of power does; `sync` when it is signed there too. All is for this user only.
"""

import contextlib
import os
import threading
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from proxy.adapters import whole_files
from proxy.adapters.audit_folder import AuditError, opened_at, paths_in, read_deleted, read_head, segment_at
from proxy.core.audit_check import Segment, closed_at, end_of
from proxy.core.audit_records import closed, moment, opened
from proxy.core.chain import Chain, Head, Line, Marks, Use, is_signed, shown, sign

_FILE_MODE = 0o600

Standing = tuple[int, str, int]
"""The number and the hash of a line, and the open file that it is in. What is done until there may be in a thread."""


class LineError(AuditError):
    """A line cannot be made; what was to be written with it is not there either."""


class AuditFiles:
    """The segment that is written now. Only the loop writes; what takes a `Standing` may be called in threads."""

    def __init__(self, folder: Path, key: bytes) -> None:
        """Begin a new segment behind those there are. Raises: AuditError."""
        self._folder = folder
        self._key = key
        self._opening = threading.Lock()
        """Held while the file is used by a thread, or closed."""
        self._signing = threading.Lock()
        self._signed = 0
        self._fd = -1
        self._is_closed = False
        self._torn = 0
        """Bytes at the end of the segment before that are no lines."""
        self.size = 0
        self._chain, torn, self._segment = _end_of(_last_begun(folder), key)
        _check_head(read_head(folder), key, self._chain)
        self._open(torn)

    def __repr__(self) -> str:
        return f"<AuditFiles {self._folder}, segment {self._segment}, line {self._chain.n}>"

    @property
    def n(self) -> int:
        """The number of the last line."""
        return self._chain.n

    def write(self, *records: Line) -> int:
        """Add them; returns the number of the last one. Raises: AuditError, and then none of them is there."""
        if self._fd < 0:
            if self._is_closed:
                raise AuditError("the audit is closed")
            self._open(self._torn)
        n, last = self._chain.n, self._chain.last
        try:
            lines = self._chain.add(*records)
        except Exception as error:
            raise LineError(f"a line of the audit cannot be made: {error}") from error
        try:
            written = os.write(self._fd, lines)
        except OSError as error:
            self._chain.n, self._chain.last = n, last
            raise AuditError(f"the audit cannot be written: {error.strerror}") from error
        if written != len(lines):
            self._chain.n, self._chain.last = n, last
            self._take_back(written)
            raise AuditError("the audit cannot be written: the disk is full")
        self.size += written
        return self._chain.n

    def _take_back(self, half_written: int) -> None:
        """Cut off a half written line; where not even that can be, it is torn, and a new segment says so."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            with self._opening:
                os.close(self._fd)
                self._fd = -1
            self._segment += 1
            self._torn = half_written

    @property
    def next_n(self) -> int:
        """The number of the line that is written next."""
        return self._chain.n + (2 if self._fd < 0 else 1)  # a segment begins with a line of its own

    @property
    def standing(self) -> Standing:
        """Where the chain stands now."""
        return self._chain.n, self._chain.last, self._fd

    def commit(self, standing: Standing) -> None:
        """Have all on the disk until there. Blocks. Raises: AuditError."""
        _, _, fd = standing
        with self._opening:
            if fd != self._fd or fd < 0:
                return  # its segment was closed meanwhile, and all of it is there
            try:
                os.fdatasync(fd)
            except OSError as error:
                raise AuditError(f"the audit cannot be written: {error.strerror}") from error

    def sync(self, standing: Standing) -> int:
        """Have all on the disk until there, and sign it; returns its number. Blocks. Raises: AuditError."""
        self.commit(standing)
        n, last, _ = standing
        with self._signing:
            if n > self._signed:
                head = sign(self._key, n, last, Use.HEAD)
                try:
                    whole_files.replace(self._folder / "head.json", msgspec.json.encode(head))
                except OSError as error:
                    raise AuditError(f"the audit cannot be signed: {error.strerror}") from error
                self._signed = n
        return n

    def rotate(self) -> None:
        """Close this segment and begin the next. Raises: AuditError; then it goes on, or `write` begins the next."""
        self._close()
        self._open(0)

    def delete_before(self, wall: float) -> list[str]:
        """Delete segments that were closed before then, if they are whole; returns their names. Raises: AuditError.

        Their end is signed first, so that what is left is still known to be whole. What was changed is not deleted: to
        sign its end would hide that.
        """
        deleted = []
        for path, following in pairwise(paths_in(self._folder)):
            try:
                if (began := opened_at(following)) and datetime.fromisoformat(began).timestamp() >= wall:
                    break  # what is younger stays, and all behind it: a gap would be a fault
                before, segment = read_deleted(self._folder), segment_at(path)
                if before is not None and (at := end_of(segment, self._key)) and shown(at[1]) == before.hash:
                    path.unlink()  # its end was signed, and then the proxy was killed
                    continue
                n, mark, closed = closed_at(segment, self._key, before, segment_at(following))
                if datetime.fromisoformat(closed).timestamp() >= wall:
                    break
                head = sign(self._key, n, mark, Use.DELETED)
                whole_files.replace(self._folder / "deleted.json", msgspec.json.encode(head))
                path.unlink()
            except (OSError, ValueError) as error:
                raise AuditError(f"{path} cannot be deleted: {error}") from error
            deleted.append(path.name)
        return deleted

    def close(self) -> None:
        """Close the segment, signed; no more is written. Raises: AuditError."""
        self._close()
        self._is_closed = True

    def _close(self) -> None:
        """Raises: AuditError: before the line that closes it is there, the segment goes on; afterwards it is closed."""
        mac = sign(self._key, self._chain.n, self._chain.last, Use.CLOSE).mac
        self.write(closed(moment(time.time()), self._segment, mac))
        try:
            self.sync(self.standing)
        finally:
            with self._opening:
                os.close(self._fd)
                self._fd = -1
            self._segment += 1

    def _open(self, torn: int) -> None:
        """Raises: AuditError, and then there is no such segment."""
        path = self._folder / f"audit-{self._segment:06}.jsonl"
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, _FILE_MODE)
        except OSError as error:
            raise AuditError(f"{path} cannot be written: {error.strerror}") from error
        self._fd, self.size = fd, 0
        try:
            self.write(opened(moment(time.time()), self._segment, torn))
            whole_files.sync_folder(self._folder)
        except (AuditError, OSError) as error:
            with self._opening:
                os.close(fd)
                self._fd = -1
            with contextlib.suppress(OSError):
                path.unlink()  # a segment begins with the line that opens it
            raise AuditError(f"{path} cannot be written: {error}") from error
        self._torn = 0
        self.sync(self.standing)


def _last_begun(folder: Path) -> Segment | None:
    """The last segment. One in which no line is whole was begun when the proxy was killed, and is not there."""
    for path in reversed(paths_in(folder)):
        if b"\n" in (segment := segment_at(path)).content:
            return segment
        path.unlink()
    return None


def _check_head(head: Head | None, key: bytes, chain: Chain) -> None:
    """Whether what was signed last is there: to go on without it would hide that it was cut off. Raises: AuditError."""
    what = None
    if head is None:
        what = "its head is missing" if chain.n > 1 else None  # 1: killed as it began the very first
    elif not is_signed(key, head, Use.HEAD):
        what = "its head was not signed with its key"
    elif head.n > chain.n:
        what = f"line {head.n} was signed, and the last one is line {chain.n}"
    elif head.n == chain.n and head.hash != shown(chain.last):
        what = "its last line is another than the one that was signed"
    if what is not None:
        remedy = "put back what is missing, or move the folder away, which begins another audit"
        raise AuditError(f"the audit is not whole: {what}; see `manage_vllm.sh audit verify`, and {remedy}")


def _end_of(last: Segment | None, key: bytes) -> tuple[Chain, int, int]:
    """Where the chain stands after `last`, how many bytes behind it are no lines, the number of the next segment.

    Raises: AuditError.
    """
    marks = Marks(key)
    if last is None:
        return Chain(marks), 0, 1
    if (at := end_of(last, key)) is None:
        what = f"{last.name} has no line of an audit"
        raise AuditError(f"{what}: see `manage_vllm.sh audit verify`, and move the folder away")
    n, mark, torn = at
    return Chain(marks, n, mark), torn, int(last.name[6:-6]) + 1
