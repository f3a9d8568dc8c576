"""What of a model in its place is not what was downloaded, what of it can stay, and whether it can be repaired.

Rule: the manifest says what every file must be. Sizes are always compared; whoever repairs reads all files first, for
where one is damaged others may be, and keeps only what has the right hash. A model that is being repaired is not at its
place until it is whole. An engine that runs meanwhile has its weights in memory and goes on; one that starts, or wakes
from sleep of level 2, in that time does not find them.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catalog.download.manifest import MANIFEST_FILE, FileRecord, fault_of, read_manifest
from catalog.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a model, in words, and the files that are sound. A converted one is brought anew."""

    faults: tuple[str, ...]
    sound: frozenset[FileRecord]
    is_converted: bool

    def __str__(self) -> str:
        return "; ".join(self.faults)

    @property
    def stays(self) -> frozenset[FileRecord]:
        """The files that need not come again: of a converted model none, since it came as others."""
        return frozenset() if self.is_converted else self.sound


def damage_of(folder: Path, *, with_hashes: bool, tick: Callable[[], None] = lambda: None) -> Damage | None:
    """What is damaged in `folder`; None if nothing is, or there is no manifest. `tick` is called before each file."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    faults: list[str] = []
    sound: set[FileRecord] = set()
    for record in manifest.files:
        tick()
        fault = fault_of(folder / record.path, record, with_hash=with_hashes)
        if fault is None:
            sound.add(record)
        else:
            faults.append(fault)
    return Damage(tuple(faults), frozenset(sound), manifest.converted is not None) if faults else None


def why_not_repaired(spec: ModelSpec, root: Path) -> str | None:
    """Why the damaged model of `spec` cannot be repaired from its source, in words; None if it can."""
    folder, source = spec.folder, spec.source
    manifest = read_manifest(folder)
    if source is None or manifest is None:
        return "nobody knows where it came from: move it away, and put it there again"
    named = source.repo or (source.file and str(root / source.file)) or source.pypi
    if manifest.source != named:
        return f"it is of {manifest.source}, and the catalog names {named}: move it away, then download it again"
    if folder.is_symlink():
        return f"it is a link: name {folder.resolve()} in 'weights', then download again, or move the link away"
    return None


def own_files(folder: Path) -> set[str]:
    """The files in `folder`, by their paths below it, that were never downloaded: a person put them there."""
    manifest = read_manifest(folder)
    theirs = {MANIFEST_FILE} if manifest is None else {MANIFEST_FILE, *(record.path for record in manifest.files)}
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - theirs


def put_in_place(ready: Path, target: Path, aside: Path) -> None:
    """Rename `ready` to `target`. A damaged model that is still there goes to `aside`, on the same file system.

    What a person had put into that one is in the new one too.
    """
    if target.is_dir() and any(target.iterdir()):
        for name in own_files(target):
            if not (ready / name).exists():
                (ready / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(target / name, ready / name)
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)
    ready.rename(target)
