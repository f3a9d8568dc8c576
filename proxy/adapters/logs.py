"""The logs that supervisord writes for the programs, read only."""

from pathlib import Path

TAIL_BYTES = 16_384


def tail(path: Path, lines: int) -> str:
    """The last lines of a log, or a word about why there are none."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError as error:
        return f"(its log {path} cannot be read: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or f"(its log {path} is empty)"
