"""Which version of vLLM an executable would run, read from the metadata of its environment. Nothing is run."""

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from catalog.interpreter import package_folders

TESTED = ("0.32.0",)
"""The versions of which processes may be prepared and forked, as these were tried; any other is started as it is."""
UNKNOWN = "unknown"


def version_of(executable: Path) -> str:
    """The version of the distribution `vllm` next to `executable` (`<env>/bin/vllm`), or "unknown".

    Of a script that stands elsewhere, that of the Python that it names.
    """
    for folder in package_folders(executable):
        version = _version_in(folder, folder.stat().st_mtime_ns)
        if version is not None:
            return version
    return UNKNOWN


def is_tested(executable: Path) -> bool:
    """Whether its version is among those that were tried, whatever it was built for (`+cpu`)."""
    return version_of(executable).partition("+")[0] in TESTED


def stamp_of(executable: Path) -> tuple[tuple[str, int], ...]:
    """What changes when the vLLM of `executable`, or its torch, is installed anew (as `stamp_of` of `bin/engine`)."""
    stamps = set()
    for folder in package_folders(executable):
        with suppress(OSError), os.scandir(folder) as entries:
            own = (
                one for one in entries if one.name.startswith(("vllm", "torch-")) and one.name.endswith(".dist-info")
            )
            stamps |= {(one.name, one.stat().st_mtime_ns) for one in own}
    with suppress(OSError):
        stamps.add((str(executable), executable.stat().st_mtime_ns))
    return tuple(sorted(stamps))


@cache
def _version_in(folder: Path, mtime_ns: int) -> str | None:
    """`mtime_ns` is for the cache: an upgrade changes the folder's time."""
    try:
        found = [one.version for one in distributions(name="vllm", path=[str(folder)])]
    except (OSError, TypeError, ValueError):  # metadata of a broken installation
        return None
    return next((one for one in found if one), None)
