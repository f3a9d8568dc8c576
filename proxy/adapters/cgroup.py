"""What a container, or a unit of systemd, leaves of the host's memory (cgroup v2).

Source: the kernel's cgroup-v2.rst, memory.max, memory.current and memory.stat.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def limit_bytes(root: Path = ROOT, own: Path = OWN) -> int | None:
    """The most that this process's groups may have; None where nothing limits them."""
    return min((most for most, _ in _limited(root, own)), default=None)


def available_bytes(root: Path = ROOT, own: Path = OWN) -> int | None:
    """What is left of that; None where nothing limits them. What the page cache would give up counts as left."""
    return min((max(0, most - used) for most, used in _limited(root, own)), default=None)


def _limited(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    """The limit and the use of each group that has a limit: of this process's own and of those around it."""
    for folder in _groups(root, own):
        with contextlib.suppress(OSError, ValueError):  # "max" is none, and the outermost has no such files
            most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
            yield most, used - _reclaimable_bytes(folder)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    path = Path("/")
    with contextlib.suppress(OSError):
        lines = own.read_text().splitlines()
        path = next((Path(line.removeprefix("0::")) for line in lines if line.startswith("0::")), path)
    inner = path.relative_to("/")
    yield from (root / one for one in (inner, *inner.parents))


def _reclaimable_bytes(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "inactive_file":
                return int(number)
    return 0
