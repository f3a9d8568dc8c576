"""Brings a repository's files into a model's folder: gathered beside it, each verified, converted where it must be.

Rule: nothing that is half done is ever at the model's place, and nothing that arrived is lost. In `FOLDER.download`:

    parts/HASH      a file as far as it has come, by what it must become
    files/PATH      files that are complete and were verified
    files.json      what `files` was gathered for: another snapshot keeps those that are the same in it
    own.json        which of `files` were never downloaded: a person put them into a model that is being repaired
    converted/      the converter's work; begun anew if it was interrupted
    replaced/       the damaged model that it takes the place of

At the end `files`, or `converted`, gets its manifest and is renamed into place. Who does this holds the folder's lock.
"""

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec

from catalog.convert import gpt2
from catalog.download.fetch import GGUF_GROWS, FetchError
from catalog.download.finishing import Finishing, Watch
from catalog.download.hub import Origin
from catalog.download.hub_errors import HubError
from catalog.download.manifest import (
    FileRecord,
    Manifest,
    fault_of,
    write_whole,
)
from catalog.download.place import amount, free_bytes, staging_of
from catalog.download.repair import own_files
from catalog.download.room import Room
from catalog.download.snapshot import FILES_FILE, Seen, Snapshot, Wanted, config_of
from catalog.spec import ModelSpec

_OWN_FILE = "own.json"


class Staging:
    """The download of `spec`, whose wanted files are `seen`, from `origin`.

    `sound` are files of a damaged model at its place: `take_over` makes them the beginning of this download.
    """

    def __init__(self, spec: ModelSpec, seen: Seen, origin: Origin, sound: Collection[FileRecord] = ()) -> None:
        self.spec = spec
        self._sound = frozenset(sound)
        self.target = spec.folder
        self._seen = seen
        self._origin = origin
        self._folder = staging_of(self.target)
        self._files = self._folder / "files"
        self._parts = self._folder / "parts"
        self._finishing = Finishing(spec, seen.snapshot, self._folder, self._files)

    def __repr__(self) -> str:
        return f"<Staging {self.spec.name} {self.target}>"

    @property
    def snapshot(self) -> Snapshot:
        """What is wanted."""
        return self._seen.snapshot

    def done_bytes(self) -> int:
        """What an earlier try has brought of it. It may not be all: who downloads finds out."""
        kept = self._kept()
        done = 0
        for wanted in self.snapshot.files:
            part = self._part(wanted)
            if wanted in kept or wanted.record in self._sound:
                done += wanted.record.size_bytes
            else:
                with suppress(OSError):  # another thread's may just be renamed
                    done += part.stat().st_size
        return done

    def room_bytes(self) -> int:
        """What the disk must have free for the rest, with what the converter will write."""
        return self._left_bytes() + self.converted_bytes

    def room(self) -> Room:
        """The same, by what of it stays: where it is converted, the raw files go."""
        if self.converted_bytes:
            return Room(self.target, self.converted_bytes, self._left_bytes())
        return Room(self.target, self._left_bytes())

    def _left_bytes(self) -> int:
        return self.snapshot.total_bytes - self.done_bytes() if self._origin.takes_room(self.target.parent) else 0

    @cached_property
    def converted_bytes(self) -> int:
        """What the converter will write, at most. Raises: FetchError.

        It writes anew what are pickles, and weights that something is folded into; else it links them.
        """
        if self._finishing.gguf is not None:
            return self.snapshot.weights_bytes * GGUF_GROWS
        is_written = not self._finishing.serves_gguf and (
            self.snapshot.is_pickled or bool(gpt2.reasons(config_of(self._seen, self._origin)))
        )
        return self.snapshot.weights_bytes if is_written else 0

    def check_room(self, promised_bytes: int = 0) -> None:
        """Raises: FetchError if the disk has too little free, beside what is promised to others."""
        room, free = self.room_bytes(), max(0, free_bytes(self.target) - promised_bytes)
        if room > free:
            what = f"{self.spec.name} needs {amount(room)} on the disk, and {amount(free)} are free"
            remedy = f"make {amount(room - free)} free, or set 'weights' to a place on another disk"
            raise FetchError(f"{what} at {self.target.parent}: {remedy}")

    def take_over(self, sound: Collection[FileRecord]) -> None:
        """Go on with the damaged model at its place, whose `sound` files stay. Its lock is held.

        Raises: FetchError. One rename takes it from its place; by `files.json` the rest knows what to believe of it,
        so that it may be interrupted anywhere.
        """
        try:
            shutil.rmtree(self._folder, ignore_errors=True)  # of a download that was killed when it was in place
            known = tuple(wanted for wanted in self.snapshot.files if wanted.record in sound)
            begun = msgspec.structs.replace(self.snapshot, files=known)
            write_whole(self._folder / FILES_FILE, msgspec.json.encode(begun))
            write_whole(self._folder / _OWN_FILE, msgspec.json.encode(sorted(own_files(self.target))))
            self.target.rename(self._files)
        except OSError as error:
            raise FetchError(f"{error.strerror or error}: {error.filename or self.target}") from error

    def bring(self, root: Path, watch: Watch, lock: int) -> Manifest:
        """Download what is missing, verify, convert and put the folder into place. Its lock is held, as `lock`.

        Raises: FetchError; what `watch` raises. What is there stays.
        """
        try:
            self._finishing.undo_half()
            self._prepare()
            for wanted in self.snapshot.files:
                if not (self._files / wanted.record.path).is_file():
                    self._bring_file(wanted, watch)
            return self._finishing.finish(root, watch, lock)
        except OSError as error:
            what = f"{self.spec.name}: {error.strerror or error}: {error.filename or self._folder}"
            raise FetchError(f"{what}; what was downloaded stays for the next try") from error

    def _kept(self) -> set[Wanted]:
        """What is complete, of this very content. Without a hash nobody knows."""
        try:
            before = msgspec.json.decode((self._folder / FILES_FILE).read_bytes(), type=Snapshot)
        except (OSError, msgspec.DecodeError):
            return set()
        known = {wanted.record for wanted in before.files if wanted.record.hash is not None}
        return {
            wanted
            for wanted in self.snapshot.files
            if wanted.record in known
            and fault_of(self._files / wanted.record.path, wanted.record, with_hash=False) is None
        }

    def _prepare(self) -> None:
        """Throw away what is of other files, and write down what this is for."""
        kept = {self._files / wanted.record.path for wanted in self._kept()} | self._own()
        for path in [path for path in self._files.rglob("*") if path.is_file()]:
            if path not in kept:
                path.unlink()
        parts = {self._part(wanted) for wanted in self.snapshot.files}
        for path in [path for path in self._parts.glob("*") if path not in parts]:
            path.unlink()
        self._files.mkdir(parents=True, exist_ok=True)
        self._parts.mkdir(exist_ok=True)
        write_whole(self._folder / FILES_FILE, msgspec.json.encode(self.snapshot))

    def _own(self) -> set[Path]:
        """What a person has put into the model that is being repaired, where it is not in the way of what is wanted."""
        try:
            names = msgspec.json.decode((self._folder / _OWN_FILE).read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError):
            return set()
        return {self._files / name for name in set(names) - {wanted.record.path for wanted in self.snapshot.files}}

    def _part(self, wanted: Wanted) -> Path:
        """Where a file gathers: by its content, so that it never goes on from another's."""
        content = wanted.record.hash or wanted.record.path
        return self._parts / content.replace(":", "-").replace("/", "%2F")

    def _bring_file(self, wanted: Wanted, watch: Watch) -> None:
        """Raises: FetchError if it is not what the hub says, twice."""
        part, record = self._part(wanted), wanted.record
        listing = self._seen.listings[wanted.origin]
        for is_last in (False, True):
            self._origin.fetch(listing, wanted.path, part, watch.moved)
            fault = fault_of(part, record)
            if fault is None:
                break
            # The part may have been spoilt before this try (a disk that filled up, a machine that lost power).
            watch.moved(-part.stat().st_size)
            part.unlink()
            if is_last:
                what = f"{listing.repo}: {fault}, and so it was when it was downloaded again"
                raise HubError(f"{what}: nothing of it is kept; is hub_endpoint or hub_folder a true copy?")
        target = self._files / record.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # the name must not outlive its content when the power fails
        part.replace(target)
