"""What lies in Linux's shared memory, and what of it nobody uses any more."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

SHARED = Path("/dev/shm")  # noqa: S108  # where Linux has shared memory and semaphores


def shared() -> frozenset[str]:
    """The names of what is shared on this machine now."""
    return frozenset(path.name for path in SHARED.iterdir())


def orphans_since(before: Iterable[str], within_s: float = 20.0) -> set[str]:
    """What has come since `before` and is used by nobody, once what is being cleaned up has had its time.

    Others who run beside make and drop theirs meanwhile.
    """
    deadline = time.monotonic() + within_s
    while (left := orphans(shared() - frozenset(before))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def orphans(names: Iterable[str]) -> set[str]:
    """Those of these that are there and that no process has open or mapped: whoever made them is gone."""
    left = set(names) & shared()
    for process in psutil.process_iter():
        if not left:
            break
        left -= _used_by(process.pid)
    return left & shared()


def _used_by(pid: int) -> set[str]:
    """The names that a process has open or mapped; none if it has ended, or is another user's."""
    own = Path(f"/proc/{pid}")
    paths: list[str] = []
    with contextlib.suppress(OSError):
        paths += [line.split(maxsplit=5)[-1] for line in (own / "maps").read_text().splitlines()]
        for link in (own / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                paths.append(str(link.readlink()))
    prefix = f"{SHARED}/"
    return {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
