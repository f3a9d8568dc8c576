"""The logs that supervisord writes for the programs, read only."""

from pathlib import Path

TAIL_BYTES = 16_384
START_BYTES = 1_048_576


def tail(path: Path, lines: int) -> str:
    """The last lines of a log, or a word about why there are none."""
    try:
        text = _end(path, TAIL_BYTES)
    except OSError as error:
        return f"(its log {path} cannot be read: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or f"(its log {path} is empty)"


def since(path: Path, mark: str) -> str:
    """What a log holds after the last `mark`, or all of its last MiB; nothing where it cannot be read."""
    try:
        return _end(path, START_BYTES).rpartition(mark)[2]
    except OSError:
        return ""


def _end(path: Path, most_bytes: int) -> str:
    with path.open("rb") as log:
        log.seek(0, 2)
        log.seek(max(0, log.tell() - most_bytes))
        return log.read(most_bytes).decode("utf-8", "replace")
