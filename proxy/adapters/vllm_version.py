"""Which version of vLLM an executable would run, read from the metadata of its environment. Nothing is run."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

UNKNOWN = "unknown"

TESTED = ("0.32.0",)
"""The versions of which processes may be prepared and forked, as these were tried; any other is started as it is."""

# Debian's and Ubuntu's Python, and so vLLM's own container image, say dist-packages.
_FOLDERS = ("lib/python3.*/site-packages", "lib/python3.*/dist-packages")


def version_of(executable: Path) -> str:
    """The version of the distribution `vllm` next to `executable` (`<env>/bin/vllm`), or "unknown".

    Of a script that stands elsewhere, that of the Python that it names.
    """
    for folder in _folders(executable):
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
    programs = (executable.absolute(), executable.resolve(), *_python_of(executable))
    for environment in dict.fromkeys(program.parent.parent for program in programs):
        for pattern in _FOLDERS:
            yield from sorted(environment.glob(pattern))


def _python_of(script: Path) -> Iterator[Path]:
    """The program that the script's first line names, if it is one; the link that it is in a virtual environment."""
    with suppress(OSError, UnicodeDecodeError, ValueError), script.open("rb") as file:
        first = file.readline(1024).decode()
        if first.startswith("#!") and (named := first[2:].split()):
            yield Path(named[0])


@cache
def _version_in(folder: Path, mtime_ns: int) -> str | None:
    """`mtime_ns` is for the cache: an upgrade changes the folder's time."""
    try:
        found = [one.version for one in distributions(name="vllm", path=[str(folder)])]
    except (OSError, TypeError, ValueError):  # metadata of a broken installation
        return None
    return next((one for one in found if one), None)
