"""Where weights lie, whether they are there, and who may put them there: one process at a time for each folder."""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from catalog.spec import GIB, ModelSpec


def folder_of(spec: ModelSpec) -> Path:
    """The folder that a download of `spec` makes: that of its weights, or the one that its .gguf file lies in."""
    weights = Path(spec.weights)
    return weights.parent if weights.suffix == ".gguf" else weights


def is_there(spec: ModelSpec) -> bool:
    """Whether its weights are there. They are put there whole, so one file tells."""
    weights = Path(spec.weights)
    return weights.is_file() if weights.suffix == ".gguf" else (weights / "config.json").is_file()


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


def gib(count: int) -> str:
    """Bytes, as people read them."""
    return f"{count / GIB:.2f} GiB"


@contextlib.contextmanager
def lock(path: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock file `path`; gives its descriptor. Who is given it too holds the lock as well, until it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another download is under way: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def lock_of(target: Path) -> Path:
    """The lock file of the folder `target`. It stays: were it removed, two could hold two files of its name."""
    return target.with_name(f".{target.name}.lock")
