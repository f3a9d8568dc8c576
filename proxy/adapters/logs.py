"""The logs that supervisord writes for the programs, read only."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
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
    piece, number, at = await asyncio.to_thread(_last_lines, path, lines)
    if piece:
        yield piece
    while is_over is not None and not is_over():
        try:
            now = path.stat()  # noqa: ASYNC240  # of a local file, which has just been looked at
        except OSError:
            now = None
        if now is None or (now.st_ino == number and now.st_size == at):
            await asyncio.sleep(FOLLOW_S)
            continue
        if now.st_ino != number or now.st_size < at:  # another file, or the same from its begin
            number, at = now.st_ino, 0
        piece = await asyncio.to_thread(_piece, path, at)
        at += len(piece)
        yield piece


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


def _last_lines(path: Path, lines: int) -> tuple[bytes, int, int]:
    """Them; which file they are of, and where it ends."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(0, end - START_BYTES))
            whole = log.read(min(end, START_BYTES))
            number = os.fstat(log.fileno()).st_ino
    except OSError:
        return b"", 0, 0
    return b"".join(whole.splitlines(keepends=True)[-lines:]) if lines else b"", number, end


def _piece(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(at)
            return log.read(START_BYTES)
    except OSError:
        return b""


def _end(path: Path, most_bytes: int, began_at: int = 0) -> str:
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(0, end - most_bytes, began_at if began_at <= end else 0))
        return log.read(most_bytes).decode("utf-8", "replace")
