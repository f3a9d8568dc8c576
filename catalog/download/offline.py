"""Reads repositories from a folder of copies instead of a hub. Nothing here uses the network.

A copy is `OWNER/NAME`, in the repository's own layout or downloaded by Rota, whose manifest says what it is; or the
cache of huggingface_hub (`models--OWNER--NAME`), whose blobs are named by their hashes. Files are linked, else copied.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from catalog.download.hub import Listing
from catalog.download.hub_errors import HubError
from catalog.download.manifest import MANIFEST_FILE, FileRecord, read_manifest

_COPY_BYTES = 2**24


class Shelf:
    """The copies below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<Shelf {self.folder}>"

    def listing(self, repo: str, revision: str) -> Listing:
        """What lies there; sizes and hashes are those of its manifest, if it has one. Raises: HubError."""
        copy, commit = self._copy(repo, revision)
        if not copy.is_dir():
            what = f"{repo}: there is no {copy}, and hub_folder is set, so that no hub is asked"
            raise HubError(f"{what}: put a copy of the repository there, or unset hub_folder")
        manifest = read_manifest(copy)
        if manifest is not None and manifest.source == repo:
            if manifest.revision is not None and revision not in {manifest.revision, manifest.commit}:
                what = f"{repo}: {copy} is of revision '{manifest.revision}' (commit {manifest.commit})"
                raise HubError(f"{what}, and '{revision}' is asked for: bring that one, or change source.revision")
            files = {record.path: record for record in manifest.files}
            return Listing(repo, revision, manifest.commit or revision, files, is_chosen=True)
        found = {str(path.relative_to(copy)): path for path in sorted(copy.rglob("*")) if path.is_file()}
        files = {
            name: FileRecord(path=name, size_bytes=path.stat().st_size, hash=_hash_in_name(path))
            for name, path in found.items()
            if path.name != MANIFEST_FILE
        }
        return Listing(repo, revision, commit or f"a copy of {revision}", files)

    def read(self, listing: Listing, path: str, first: int = 0, count: int | None = None) -> bytes:
        """As `Origin`'s."""
        try:
            with self._path(listing, path).open("rb") as file:
                file.seek(first)
                return file.read(-1 if count is None else count)
        except OSError as error:
            raise HubError(f"{listing.repo}/{path}: {error.strerror}: {self._path(listing, path)}") from error

    def fetch(self, listing: Listing, path: str, part: Path, moved: Callable[[int], None]) -> None:
        """As `Origin`'s: a link to the copy's file, or a copy of it."""
        whole = self._path(listing, path)
        if not whole.is_file():
            raise HubError(f"{listing.repo}/{path}: its copy is not complete: {whole} is missing")
        have = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        moved(-have)
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(whole, part)
            moved(whole.stat().st_size)
            return
        with whole.open("rb") as source, part.open("wb") as target:
            while chunk := source.read(_COPY_BYTES):
                target.write(chunk)
                moved(len(chunk))
        shutil.copymode(whole, part)

    def takes_room(self, folder: Path) -> bool:
        """Not on the same file system, where they are links."""
        there = next(path for path in (folder, *folder.parents) if path.exists())
        return self.folder.exists() and self.folder.stat().st_dev != there.stat().st_dev

    def _path(self, listing: Listing, path: str) -> Path:
        copy, _ = self._copy(listing.repo, listing.revision)
        return (copy / path).resolve()  # what a cache of the hub links to, not the link

    def _copy(self, repo: str, revision: str) -> tuple[Path, str | None]:
        """Where the copy is, and of which commit, if that is known. Raises: HubError."""
        cache = self.folder / f"models--{repo.replace('/', '--')}"
        if (self.folder / repo).is_dir() or not cache.is_dir():
            return self.folder / repo, None
        known = cache / "refs" / revision
        commit = known.read_text().strip() if known.is_file() else revision
        if not (cache / "snapshots" / commit).is_dir():
            has = ", ".join(sorted(path.name for path in (cache / "snapshots").glob("*"))) or "none"
            raise HubError(f"{repo}: {cache} has no revision '{revision}': bring it, or name one that it has ({has})")
        return cache / "snapshots" / commit, commit


def _hash_in_name(path: Path) -> str | None:
    """The hash that a file in the hub's cache has for its name; None for any other file."""
    name = path.resolve().name if path.is_symlink() else ""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return f"sha256:{name}"
    return f"git-sha1:{name}" if re.fullmatch(r"[0-9a-f]{40}", name) else None
