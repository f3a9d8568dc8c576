"""The audit's folder, as everybody reads it: its segments, what is signed beside them, its key."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from proxy.adapters import own_folders, whole_files
from proxy.core.audit_check import Segment
from proxy.core.chain import Head

KEY_BYTES = 32
LONGEST_OPEN_BYTES = 4096
"""Of the line that a segment begins with."""


class AuditError(Exception):
    """The audit cannot be read or written; the message says why."""


def segments_in(folder: Path, *, since: str | None = None, may_go: bool = False) -> Iterator[Segment]:
    """All segments, the oldest first, or those that hold lines of `since` and later.

    Where they `may_go`, without those that retention deletes meanwhile. Raises: AuditError.
    """
    paths = paths_in(folder)
    if since is not None:
        while len(paths) > 1 and "" < opened_at(paths[1]) < since:
            del paths[0]
    for path in paths:
        try:
            yield segment_at(path)
        except AuditError:
            if not may_go or path.exists():
                raise


def read_head(folder: Path) -> Head | None:
    """The newest head; None where there is none. Raises: AuditError."""
    return _read(folder / "head.json")


def read_deleted(folder: Path) -> Head | None:
    """The signed end of the segments that retention has deleted; None where it has none. Raises: AuditError."""
    return _read(folder / "deleted.json")


def read_key(folder: Path) -> bytes:
    """The key, which is made where there is none yet. Raises: AuditError."""
    path = folder / "audit.key"
    try:
        folder.mkdir(mode=own_folders.MODE, parents=True, exist_ok=True)
        if not path.exists():
            if paths_in(folder):
                raise AuditError(f"{path} is missing, and there is an audit that was signed with it: put it back")
            whole_files.replace(path, secrets.token_hex(KEY_BYTES).encode())
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise AuditError(f"{path} cannot be used: {error}") from error
    if len(key) < KEY_BYTES:
        raise AuditError(f"{path} cannot be used: it is too short")
    return key


def paths_in(folder: Path) -> list[Path]:
    """The files of all segments, the oldest first."""
    return sorted(folder.glob("audit-*.jsonl"))


def segment_at(path: Path) -> Segment:
    """One of them. Raises: AuditError."""
    try:
        return Segment(path.name, path.read_bytes())
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from error


def opened_at(path: Path) -> str:
    """When a segment was begun, as its first line says; empty where that cannot be read."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.readline(LONGEST_OPEN_BYTES), type=_Opened).at
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


class _Opened(msgspec.Struct):
    at: str


def _read(path: Path) -> Head | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise AuditError(f"{path} cannot be read: {error}") from error
