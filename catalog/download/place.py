"""Where weights lie, whether they are there, and who may put them there: one process at a time for each folder."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from catalog.spec import GIB, ModelSpec

_LOOK_EVERY_S = 0.3
"""A lock is asked for so often, and not waited for: who waits inside the kernel hears of nothing else."""


def is_there(spec: ModelSpec) -> bool:
    """Whether its weights are there. They are put there whole, so one file tells."""
    weights = Path(spec.weights)
    return weights.is_file() if spec.is_gguf else (weights / "config.json").is_file()


def what_is_in_the_way(target: Path) -> str | None:
    """Why nothing can be put at `target`, in words; None if something can."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    return f"{target} is there and is no model (no config.json): move it away first"


def staging_of(target: Path) -> Path:
    """Where a download for `target` gathers: beside it, on the same file system, never taken for a model."""
    return target.with_name(f"{target.name}.download")


def free_bytes(path: Path) -> int:
    """What is free where `path` is or will be."""
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free


def disk_of(target: Path) -> int:
    """Which file system `target` is on, or will be; equal numbers are one."""
    return next(folder for folder in (target, *target.parents) if folder.exists()).stat().st_dev


def amount(count: float) -> str:
    """Bytes, as people read them."""
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


@contextlib.contextmanager
def lock(path: Path, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Hold the lock file `path`; gives its descriptor. A program that inherits it holds the lock too, until it ends.

    `wait` waits so many seconds, or raises what ends the waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if not _is_taken(file):
            say("another download is under way: waiting for it")
            while not _is_taken(file):
                wait(_LOOK_EVERY_S)
        yield file.fileno()


def _is_taken(file: IO[str]) -> bool:
    """Take the lock, if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_of(target: Path) -> Path:
    """The lock file of the folder `target`. It stays: were it removed, two could hold two files of its name."""
    return target.with_name(f".{target.name}.lock")
