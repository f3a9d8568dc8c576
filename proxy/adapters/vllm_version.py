"""Which version of vLLM an executable would run, read from the metadata of its environment. Nothing is run."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

UNKNOWN = "unknown"

# Debian's and Ubuntu's Python, and so vLLM's own container image, say dist-packages.
_FOLDERS = ("lib/python3.*/site-packages", "lib/python3.*/dist-packages")


def version_of(executable: Path) -> str:
    """The version of the distribution `vllm` next to `executable` (`<env>/bin/vllm`), or "unknown"."""
    for folder in _folders(executable):
        version = _version_in(folder, folder.stat().st_mtime_ns)
        if version is not None:
            return version
    return UNKNOWN


def stamp_of(executable: Path) -> tuple[tuple[str, int], ...]:
    """What changes when the vLLM of `executable`, or its torch, is installed anew (as `stamp_of` of `bin/engine`)."""
    stamps = set()
    for folder in _folders(executable):
        with suppress(OSError), os.scandir(folder) as entries:
            own = (
                one for one in entries if one.name.startswith(("vllm", "torch-")) and one.name.endswith(".dist-info")
            )
            stamps |= {(one.name, one.stat().st_mtime_ns) for one in own}
    with suppress(OSError):
        stamps.add((str(executable), executable.stat().st_mtime_ns))
    return tuple(sorted(stamps))


def _folders(executable: Path) -> Iterator[Path]:
    # As it is called first: in a virtual environment, bin/vllm may be a link out of it.
    for environment in dict.fromkeys((executable.absolute().parent.parent, executable.resolve().parent.parent)):
        for pattern in _FOLDERS:
            yield from sorted(environment.glob(pattern))


@cache
def _version_in(folder: Path, mtime_ns: int) -> str | None:
    """`mtime_ns` is for the cache: an upgrade changes the folder's time."""
    try:
        found = [one.version for one in distributions(name="vllm", path=[str(folder)])]
    except (OSError, TypeError, ValueError):  # metadata of a broken installation
        return None
    return next((one for one in found if one), None)
