"""The logs that supervisord writes for the programs, read only."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from io import FileIO
from pathlib import Path

TAIL_BYTES = 16_384
START_BYTES = 1_048_576
FOLLOW_S = 0.25


def tail(path: Path, lines: int, began_at: int = 0) -> str:
    """The last lines of a log, from the byte `began_at` on, or a word about why there are none."""
    try:
        text = _end(path, TAIL_BYTES, began_at)
    except OSError as error:
        return f"(its log {path} cannot be read: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or f"(its log {path} is empty, or holds nothing new)"


def since(path: Path, mark: str, began_at: int = 0) -> str:
    """What a log holds after the last line with `mark`, or all of its last MiB; nothing where it cannot be read.

    What stands before the byte `began_at` is left out, unless the log was rotated since then.
    """
    try:
        _, found, rest = _end(path, START_BYTES, began_at).rpartition(mark)
    except OSError:
        return ""
    return rest.partition("\n")[2] if found else rest


async def follow(path: Path, lines: int, is_over: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """The last `lines` of a log, then what is written from then on, also after it was rotated, until it `is_over`.

    None: it does not go on. One that is not there yet is waited for.
    """
    piece, log = await asyncio.to_thread(_last_lines, path, lines)
    try:
        if piece:
            yield piece
        while is_over is not None and not is_over():
            piece, log = await asyncio.to_thread(_more, path, log)
            if piece:
                yield piece
            else:
                await asyncio.sleep(FOLLOW_S)
    finally:
        if log is not None:
            log.close()


def last_exit(supervisord_log: Path, program: str) -> str | None:
    """How the program's last process ended by itself, as supervisord's own log says: `exit status 1`, or `SIGKILL`.

    Its XML-RPC says -1 for all signals, and nothing of what ended before it counted as running. Source: supervisor
    4.3, process.py finish, options.py decode_wait_status.
    """
    try:
        text = _end(supervisord_log, START_BYTES)
    except OSError:
        return None
    found = re.findall(rf"exited: {re.escape(program)} \((?:terminated by )?(\w[\w ]*\w)", text)
    return found[-1] if found else None


def size(path: Path) -> int:
    """How many bytes a log has now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_lines(path: Path, lines: int) -> tuple[bytes, FileIO | None]:
    """Them, and the file they are of, read to its end; None where there is none."""
    try:
        log = FileIO(path)
        end = log.seek(0, 2)
        log.seek(max(0, end - START_BYTES))
        whole = log.read(min(end, START_BYTES))
    except OSError:
        return b"", None
    return b"".join(whole.splitlines(keepends=True)[-lines:]) if lines else b"", log


def _more(path: Path, log: FileIO | None) -> tuple[bytes, FileIO | None]:
    """What was written behind what was read of `log`, and the file to go on with.

    That is the one at `path` when it is another, but not before the old one, which may have been written to until it
    was rotated, is read to its end.
    """
    try:
        newest = path.stat()
    except OSError:
        newest = None
    if log is not None:
        mine = os.fstat(log.fileno())
        if mine.st_size < log.tell():  # the same from its begin
            log.seek(0)
        if (piece := log.read(START_BYTES)) or newest is None or os.path.samestat(mine, newest):
            return piece, log
    try:
        new = FileIO(path)
    except OSError:
        return b"", log
    if log is not None:
        log.close()
    return new.read(START_BYTES), new


def _end(path: Path, most_bytes: int, began_at: int = 0) -> str:
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(0, end - most_bytes, began_at if began_at <= end else 0))
        return log.read(most_bytes).decode("utf-8", "replace")
