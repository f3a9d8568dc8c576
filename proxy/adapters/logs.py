"""The logs that supervisord writes for the programs, read only."""

import re
from pathlib import Path

TAIL_BYTES = 16_384
START_BYTES = 1_048_576


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


def _end(path: Path, most_bytes: int, began_at: int = 0) -> str:
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(0, end - most_bytes, began_at if began_at <= end else 0))
        return log.read(most_bytes).decode("utf-8", "replace")
