"""Files that are replaced: written whole or not at all, for this user only."""

import contextlib
import os
from pathlib import Path

Stamp = tuple[int, int, int] | None
"""Another one for each file that there was, and for each change of one; None where there is none."""


def stamp_of(path: Path) -> Stamp:
    """That of the file of now: also who may read it has changed where it has another one."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns


def replace(path: Path, content: bytes) -> None:
    """Replace `path`; blocks until `content` is on the disk. Raises: OSError, and then what was there stays."""
    # In the same folder, since a rename across file systems is no rename.
    beside = path.with_name(path.name + ".tmp")
    try:
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk, too (fsync(2)); blocks. Raises: OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
