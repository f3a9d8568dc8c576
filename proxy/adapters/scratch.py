"""A folder for the temporary files of each engine, empty whenever a process of it begins.

vLLM leaves its sockets, some five a start, in the system's folder for temporary files, for ever. Source: vLLM 0.32,
`utils/network_utils.py`, get_open_zmq_ipc_path and get_file_store_init_method.
"""

import contextlib
import hashlib
import logging
import shutil
from pathlib import Path

from proxy.core.addresses import LONGEST_SOCKET_BYTES

log = logging.getLogger(__name__)

NAME = len("/ab5fc8a0-3f1c-4b51-a8b1-2f0b1fd5a5f4")
"""So many bytes vLLM appends to the path of a socket."""


class Scratch:
    """The folders of all engines, below `root`, by model."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"<Scratch {self._root}>"

    def env(self, model: str) -> dict[str, str]:
        """The variable that names `model`'s, which is there then.

        None where there can be none, or its path leaves no room for vLLM's sockets: then the system's is taken.
        """
        if (folder := self._of(model)) is None:
            return {}
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            log.warning("%s: no folder for temporary files: %s", model, error)
            return {}
        return {"TMPDIR": str(folder)}

    def clear(self, model: str) -> None:
        """Remove what is in `model`'s: only while no process of it is past its first question at the gate."""
        if (folder := self._of(model)) is not None:
            with contextlib.suppress(OSError):
                folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)

    def _of(self, model: str) -> Path | None:
        """By its name, or by a short one made of it where that has no room."""
        short = hashlib.sha256(model.encode()).hexdigest()[:8]
        folders = (self._root / name for name in (model, short))
        return next((one for one in folders if len(str(one).encode()) + NAME <= LONGEST_SOCKET_BYTES), None)
