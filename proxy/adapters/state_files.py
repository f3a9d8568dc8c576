"""Small state that outlives the proxy: one JSON file per thing, written whole or not at all, for this user only.

Rule: trouble with the disk never stops the proxy. A file that cannot be read gives the default, one that cannot be
written is tried again with the next write. Nothing here awaits.
"""

import copy
import logging
import threading
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from proxy.adapters import whole_files

log = logging.getLogger(__name__)

T = TypeVar("T")


class StateFile(Generic[T]):
    """One JSON file that holds one value of `type_`."""

    def __init__(self, path: Path, type_: type[T], default: T) -> None:
        self._path = path
        self._type = type_
        self._default = default
        self._is_failing = False
        self._writing = threading.Lock()
        """Two writers would share one tmp file: writes are made in threads."""

    def __repr__(self) -> str:
        return f"<StateFile {self._path.name}{' (cannot be written)' if self._is_failing else ''}>"

    def read(self) -> T:
        """What the file holds; the default where it is missing, unreadable or corrupt.

        A corrupt file is set aside as NAME.corrupt, so that a person can look at it.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=self._type)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("%s cannot be read (%s): going on without it", self._path, error.strerror)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._set_aside(error)
        return copy.deepcopy(self._default)

    def write(self, value: T) -> bool:
        """Replace the file; blocks until it is on the disk. False where that failed, which is logged once."""
        with self._writing:
            return self._write(value)

    def _write(self, value: T) -> bool:
        content = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            whole_files.replace(self._path, content)
        except OSError as error:
            if not self._is_failing:
                log.warning(
                    "%s cannot be written (%s): what it should hold is lost if the proxy ends now",
                    self._path,
                    error.strerror,
                )
            self._is_failing = True
            return False
        if self._is_failing:
            log.warning("%s can be written again", self._path)
        self._is_failing = False
        return True

    def _set_aside(self, why: Exception) -> None:
        aside = self._path.with_name(self._path.name + ".corrupt")
        try:
            self._path.replace(aside)
        except OSError as error:
            log.warning(
                "%s is corrupt (%s) and cannot be set aside (%s): going on without it", self._path, why, error.strerror
            )
        else:
            log.warning("%s is corrupt (%s): set aside as %s, going on without it", self._path, why, aside.name)
