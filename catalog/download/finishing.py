"""The end of a download: converted where it must be, its manifest written, and put into its place by a rename.

Rule: the model is at its place whole, or not at all; one that it takes the place of stays until then.
"""

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from catalog.convert import convert as converting
from catalog.download.choice import tokenizer_of
from catalog.download.fetch import FetchError, convert
from catalog.download.manifest import Manifest, record_of, records_of, write_manifest
from catalog.download.repair import put_in_place
from catalog.download.snapshot import Snapshot
from catalog.spec import ModelSpec

DONE_FILE = "done"
"""Its model is in place: what is left of this folder is nobody's any more."""
_REPLACED = "replaced"
_CONVERTING = threading.Lock()
"""One conversion at a time: each takes as much memory as a shard has bytes."""


class Watch(Protocol):
    """Who is told how it goes."""

    def moved(self, count: int) -> None:
        """So many more bytes are here; fewer, where some were thrown away."""

    def doing(self, what: str) -> None:
        """Something else than downloading begins."""


class Finishing:
    """What becomes of the `files` of `snapshot`, all of them there, below the staging's `folder`."""

    def __init__(self, spec: ModelSpec, snapshot: Snapshot, folder: Path, files: Path) -> None:
        self._spec = spec
        self._snapshot = snapshot
        self._target = spec.folder
        self._folder = folder
        self._files = files

    def __repr__(self) -> str:
        return f"<Finishing {self._spec.name}>"

    @property
    def serves_gguf(self) -> bool:
        """Whether the GGUF file itself is what vLLM gets."""
        return self._spec.is_gguf

    @property
    def gguf(self) -> str | None:
        """The GGUF file that must be converted, if there is one."""
        names = [wanted.record.path for wanted in self._snapshot.files if wanted.record.path.endswith(".gguf")]
        return names[0] if names and not self.serves_gguf else None

    def finish(self, root: Path, watch: Watch, lock: int) -> Manifest:
        """Convert if it must be, write the manifest, rename. Raises: FetchError."""
        why, source = self._why_convert()
        ready = self._files
        records = tuple(wanted.record for wanted in self._snapshot.files)
        if any(record.hash is None for record in records):  # of a copy without a manifest: from now on they are known
            watch.doing("reading all files for their hashes")
            records = tuple(record_of(self._files / record.path, self._files) for record in records)
        origin = records if why is not None else ()
        if why is not None:
            watch.doing(f"converting: {why}")
            ready = self._folder / "converted"
            shutil.rmtree(ready, ignore_errors=True)
            with _CONVERTING:
                convert(source, ready, root, dtype=self._spec.dtype, lock=lock)
            if self.gguf is not None:
                self._lay_tokenizer(ready)
            records = records_of(ready)
        snapshot = self._snapshot
        manifest = Manifest(
            source=snapshot.repo,
            revision=snapshot.revision,
            commit=snapshot.commit,
            path=snapshot.path,
            tokenizer=snapshot.tokenizer,
            tokenizer_commit=snapshot.tokenizer_commit,
            downloaded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=records,
            converted=why,
            origin=origin,
        )
        write_manifest(ready, manifest)
        put_in_place(ready, self._target, self._folder / _REPLACED)
        (self._folder / DONE_FILE).touch()
        shutil.rmtree(self._folder)
        return manifest

    def undo_half(self) -> None:
        """Put the model back that was taken from its place, if this was ended before another was there."""
        if (self._folder / _REPLACED).is_dir() and not self._target.exists():
            (self._folder / _REPLACED).rename(self._target)

    def _why_convert(self) -> tuple[str | None, Path]:
        """Why it must be converted, if it must, and what the converter is given. Raises: FetchError."""
        if self.serves_gguf:
            return None, self._files
        if self.gguf is not None:
            return "vLLM reads it as safetensors", self._files / self.gguf
        try:
            return converting.needs_conversion(self._files), self._files
        except converting.ConversionError as error:
            raise FetchError(f"{self._snapshot.repo} is no model that can be served: {error}") from error

    def _lay_tokenizer(self, folder: Path) -> None:
        """Put the tokenizer of another repository in the place of what the converter made of the GGUF file's own."""
        names = [wanted.record.path for wanted in self._snapshot.files if wanted.origin == 1]
        if not names:
            return
        made = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        for name in tokenizer_of(made):
            (folder / name).unlink()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(self._files / name, folder / name)
