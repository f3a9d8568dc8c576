"""A folder for the temporary files of each engine, empty whenever a process of it begins.

vLLM leaves its sockets, some five a start, in the system's folder for temporary files, for ever. Source: vLLM 0.32,
`utils/network_utils.py`, get_open_zmq_ipc_path and get_file_store_init_method.
"""

import contextlib
import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

LONGEST = 107
"""So many bytes the path of a Unix socket may have (unix(7), sun_path with its final zero)."""
NAME = len("/ab5fc8a0-3f1c-4b51-a8b1-2f0b1fd5a5f4")
"""So many of them vLLM appends."""


class Scratch:
    """The folders of all engines, below `root`, by model."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"<Scratch {self._root}>"

    def env(self, model: str) -> dict[str, str]:
        """The variable that names `model`'s; none where the path leaves no room for vLLM's sockets."""
        folder = str(self._root / model)
        return {"TMPDIR": folder} if len(folder.encode()) + NAME <= LONGEST else {}

    def renew(self, model: str) -> None:
        """Make `model`'s, and have it empty. Where that fails the log says why, and Python takes the system's."""
        folder = self._root / model
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            log.warning("%s: no folder for temporary files: %s", model, error)
