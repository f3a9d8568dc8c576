"""What weights are, exactly: one hash of all files of a model, for the audit.

It is the SHA-256 of a list, one line a file in the order of the names: its SHA-256, two spaces, its name; as
`sha256sum` prints them. So anybody can compute it again.
"""

import hashlib
import os
from pathlib import Path

_OURS = frozenset({"rota-source.json"})
"""Notes about where the files come from; they are not read by vLLM."""

Stamp = list[tuple[str, int, int]]
"""Name, size and time of change (ns) of each file."""


def stamp_of(weights: Path) -> Stamp:
    """What changes where a file does. Empty where nothing is there."""
    stats = [(name, path.stat()) for name, path in _files(weights)]
    return [(_shown(name), found.st_size, found.st_mtime_ns) for name, found in stats]


def hash_of(weights: Path) -> str:
    """In hex; reads all of it, which takes some seconds for each 5 GB. Raises: OSError."""
    listed = hashlib.sha256()
    for name, path in _files(weights):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        listed.update(f"{digest}  {name}\n".encode(errors="surrogateescape"))
    return listed.hexdigest()


def _shown(name: str) -> str:
    """A name that is no UTF-8 cannot be kept as it is."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _files(weights: Path) -> list[tuple[str, Path]]:
    if weights.is_file():
        return [(weights.name, weights)]
    found = []
    for folder, _, names in os.walk(weights):
        for name in names:
            path = Path(folder) / name
            if name not in _OURS and path.is_file():
                found.append((path.relative_to(weights).as_posix(), path))
    return sorted(found)
