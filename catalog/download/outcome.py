"""What came of a model that was to be downloaded, and what is there of one before anything is done."""

from dataclasses import dataclass
from enum import StrEnum

from catalog.download.manifest import read_manifest
from catalog.spec import ModelSpec


class Came(StrEnum):
    """What came of a model."""

    READY = "ready"
    THERE = "there"
    SKIPPED = "skipped"
    PLANNED = "planned"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of `model`, and why or whereof in words."""

    model: str
    came: Came
    text: str

    def __str__(self) -> str:
        return f"{self.model}: {self.came}: {self.text}"


def what_is_there(spec: ModelSpec) -> Outcome:
    """What is there, undamaged, and whether it is what the catalog says."""
    folder = spec.folder
    manifest = read_manifest(folder)
    if manifest is None or spec.source is None:
        return Outcome(spec.name, Came.THERE, str(folder))
    is_of = f"{manifest.source} at {(manifest.commit or manifest.downloaded_at)[:8]}"
    asked = (spec.source.repo, spec.source.revision)
    if spec.source.repo is not None and asked != (manifest.source, manifest.revision) and asked[1] != manifest.commit:
        what = f"{folder} is of {manifest.source} at '{manifest.revision}'"
        remedy = f"the catalog names {asked[0]} at '{asked[1]}': move it away and download again to have that"
        return Outcome(spec.name, Came.THERE, f"{what}; {remedy}")
    return Outcome(spec.name, Came.THERE, f"{folder} ({is_of})")
