"""Where a command that is a Python script belongs, as vLLM's is: its interpreter and its packages. Nothing is run."""

import os
import shutil
from pathlib import Path

_MOST_BYTES = 1024
# Debian's and Ubuntu's Python, and so vLLM's own container image, say dist-packages.
_FOLDERS = ("lib/python3.*/site-packages", "lib/python3.*/dist-packages")


def python_of(executable: Path) -> Path:
    """The interpreter that the first line of `executable` names, or else the `python` beside it, there or not."""
    beside = executable.parent / "python"
    try:
        with executable.open("rb") as file:
            first = file.readline(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return beside
    command = first[2:].split() if first.startswith("#!") else []
    if len(command) == 2 and Path(command[0]).name == "env":
        command = [shutil.which(command[1]) or ""]
    is_python = bool(command) and Path(command[0]).name.startswith("python") and os.access(command[0], os.X_OK)
    return Path(command[0]) if is_python else beside


def package_folders(executable: Path) -> list[Path]:
    """The folders of packages of the environment that `executable` is in (`<env>/bin/vllm`), or its Python is."""
    # As it is called first: in a virtual environment, bin/vllm may be a link out of it.
    programs = (executable.absolute(), executable.resolve(), python_of(executable))
    environments = dict.fromkeys(one.parent.parent for one in programs)
    return [folder for one in environments for pattern in _FOLDERS for folder in sorted(one.glob(pattern))]
