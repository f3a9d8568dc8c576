"""In which order models are brought, and which of them come with another. Pure, but for paths."""

from collections.abc import Iterable
from pathlib import Path

from catalog.download.outcome import Outcome
from catalog.spec import ModelSpec


def in_order(specs: Iterable[ModelSpec]) -> list[ModelSpec]:
    """Those to bring, the first first: by priority, then name; of several that share a folder one with a source."""

    def rank(spec: ModelSpec) -> tuple[bool, int, str]:
        return spec.source is None, spec.source.priority if spec.source is not None else 0, spec.name

    by_folder: dict[Path, ModelSpec] = {}
    for spec in sorted(specs, key=rank):
        by_folder.setdefault(spec.folder, spec)
    return list(by_folder.values())


def sharers_of(spec: ModelSpec, outcome: Outcome, specs: list[ModelSpec]) -> list[Outcome]:
    """What came of the other models that share the folder of `spec`: the same."""
    sharers = [other.name for other in specs if other.name != spec.name and other.folder == spec.folder]
    return [Outcome(name, outcome.came, f"shares {spec.folder} with {spec.name}") for name in sorted(sharers)]
