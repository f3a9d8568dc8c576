"""Folders that only this user may enter, and sockets that only he may use: nobody else's to replace or to ask."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

MODE = 0o700


class OwnFolderError(Exception):
    """A folder cannot be made this user's own; the message says which, and what to do."""


def make_own(folder: Path) -> None:
    """Have it there and closed to others, whatever it was before. Raises: OwnFolderError."""
    try:
        folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        seen = folder.stat()
        if seen.st_uid != os.geteuid():
            what = f"{folder} belongs to another user (uid {seen.st_uid}), who could put what he likes there"
            raise OwnFolderError(f"{what}: chown it, or begin another folder")
        if stat.S_IMODE(seen.st_mode) & ~MODE:
            folder.chmod(MODE)
            log.warning("%s was open to others (mode %o), and is so no more", folder, stat.S_IMODE(seen.st_mode))
    except OSError as error:
        raise OwnFolderError(f"{folder} cannot be made this user's own: {error.strerror}") from error


@contextmanager
def made_own() -> Iterator[None]:
    """Sockets that are bound meanwhile are this user's own: never open to others, not even before a chmod."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
