"""The file of keys: whole or not at all, for this user only, changed under a lock.

Rule: a file that cannot be read is an error and never "no keys": that would let everybody in.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from proxy.adapters import whole_files
from proxy.core.keys import Key


class KeyFileError(Exception):
    """The file of keys cannot be read or written; the message says what to do."""


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[Key]


class KeyFile:
    """Keys by their names, in the order of their making."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<KeyFile {self.path}>"

    def read(self) -> dict[str, Key]:
        """None of them where there is no file. Raises: KeyFileError."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = msgspec.json.decode(file.read(), type=_Content)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            what = f"{self.path} is damaged ({error}): put a copy back, or move it away, make keys, and restart"
            raise KeyFileError(what) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(f"{self.path} can be read by others: chmod 600 {self.path}, and rotate all keys")
        return {key.name: key for key in content.keys}

    def change(self, by: Callable[[dict[str, Key]], Mapping[str, Key]]) -> dict[str, Key]:
        """Write what `by` makes of the keys; returns that. Raises: KeyFileError, and what `by` raises."""
        try:
            with self._locked():
                keys = dict(by(self.read()))
                self._write(keys)
                return keys
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600), "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, keys: Mapping[str, Key]) -> None:
        text = msgspec.json.format(msgspec.json.encode(_Content(list(keys.values()))), indent=2) + b"\n"
        whole_files.replace(self.path, text)
        whole_files.sync_folder(self.path.parent)
