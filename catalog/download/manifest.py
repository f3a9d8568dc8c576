"""What is written down beside downloaded weights: where they come from, and each file with its size and hash.

Rule: the manifest is written last, when all that it names lies there and was verified; what disagrees with it later is
a fault. It can be read without the network, by `check` and as an offline copy's own list.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

MANIFEST_FILE = "rota-source.json"

Hash = Annotated[str, Meta(pattern=r"^(sha256|git-sha1):[0-9a-f]+$")]
"""`sha256:` of the content, or `git-sha1:` as git hashes a blob: the hub has the first for LFS files only."""


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its path below the folder, and what its content must be. `hash` is None where nobody told one."""

    path: str
    size_bytes: int
    hash: Hash | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a folder of weights comes from.

    `source` is OWNER/NAME or a file, `revision` what was asked for, `commit` what that was, `path` the folder inside.
    `files` are those that lie here. Where they were converted, `converted` says why, `origin` what was downloaded.
    """

    source: str
    revision: str | None = None
    commit: str | None = None
    path: str = ""
    tokenizer: str | None = None
    tokenizer_commit: str | None = None
    downloaded_at: str
    files: tuple[FileRecord, ...]
    converted: str | None = None
    origin: tuple[FileRecord, ...] = ()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`; None if there is none, or none that can be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it, whole or not at all."""
    write_whole(folder / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def hash_of(path: Path, kind: str) -> Hash:
    """The hash of a file's content, of one of the kinds of `Hash`."""
    with path.open("rb") as file:
        if kind == "sha256":
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        # As `git hash-object` does it: the kind and the size stand before the content.
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while chunk := file.read(2**20):
            digest.update(chunk)
        return f"git-sha1:{digest.hexdigest()}"


def record_of(path: Path, folder: Path) -> FileRecord:
    """What lies at `path`, by its own content."""
    name = str(path.relative_to(folder))
    return FileRecord(path=name, size_bytes=path.stat().st_size, hash=hash_of(path, "sha256"))


def records_of(folder: Path) -> tuple[FileRecord, ...]:
    """All files below `folder` but the manifest, by their own content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return tuple(record_of(path, folder) for path in files)


def fault_of(path: Path, record: FileRecord, *, with_hash: bool = True) -> str | None:
    """What is wrong with the file at `path`, in words; None if it is what `record` says. The hash reads all of it."""
    try:
        size = path.stat().st_size
    except OSError:
        return f"{record.path} is missing"
    if size != record.size_bytes:
        return f"{record.path} has {size} bytes and should have {record.size_bytes}"
    if not with_hash or record.hash is None:
        return None
    kind = record.hash.partition(":")[0]
    try:
        is_it = hash_of(path, kind) == record.hash
    except OSError as error:
        return f"{record.path} cannot be read: {error.strerror or error}"
    return None if is_it else f"{record.path} has another content than was downloaded (its {kind} differs)"
