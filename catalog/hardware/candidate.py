"""A model to place, and its estimate on the devices that it is placed on. Pure; bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from catalog.estimate.architecture import architecture_of
from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.estimate import Estimate, estimate
from catalog.estimate.flags import Flags
from catalog.hardware.capability import Demand, demands_of
from catalog.hardware.places import Place
from catalog.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to place. `why_unknown` says why there is no checkpoint; then what its file declares is all there is."""

    spec: ModelSpec
    flags: Flags
    checkpoint: Checkpoint | None
    why_unknown: str | None = None


def estimate_on(candidate: Candidate, places: Sequence[Place], **changes: int) -> Estimate | None:
    """The estimate of `candidate` on the largest of `places`, with `changes` to its flags."""
    if candidate.checkpoint is None:
        return None
    largest = max(places, key=lambda place: place.total_bytes)
    flags = replace(candidate.flags, **changes)  # type: ignore[arg-type]  # only flags that are numbers are changed
    return estimate(candidate.checkpoint, flags, largest.total_bytes, is_gpu=largest.is_gpu)


def demands_on_gpu(candidate: Candidate) -> tuple[Demand, ...]:
    """What `candidate` asks of a GPU beside memory."""
    flags = candidate.flags
    if candidate.checkpoint is None:
        return demands_of(flags.dtype, flags.quantization)
    arch = architecture_of(candidate.checkpoint.config, flags.hf_overrides)
    return demands_of(flags.dtype, flags.quantization, arch.quantisation, arch.model_type)
