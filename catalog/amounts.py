"""What a model takes, as its file declares it, and estimates for what the file leaves out. Pure; bytes per device."""

from dataclasses import dataclass
from math import ceil

from catalog.spec import GIB, ModelSpec

ASLEEP_BYTES = GIB + GIB // 4
"""What stays of a sleeping engine: 0.1 to 1.5 GiB were measured by others (vllm-project/vllm#28714, #32714)."""

PINNED_SHARE = 1.5
"""Host memory of a level-1 sleep over the weights' size: pinned pools round up (vllm-project/vllm#48337, #16663)."""

BOTH_LEVELS = (1, 2)


@dataclass(frozen=True, slots=True)
class Declared:
    """Bytes on each device while it starts, serves and sleeps; and of the host, in all, after a level-1 sleep."""

    startup_peak_bytes: int
    awake_bytes: int
    asleep_bytes: int
    sleep_host_bytes: int


def declared(spec: ModelSpec) -> Declared:
    """What `spec` says, with estimates where it says nothing: the peak is what it takes awake."""
    weights_bytes = (spec.memory_bytes - (spec.kv_cache_bytes or 0)) * spec.device_count
    return Declared(
        startup_peak_bytes=_or(spec.startup_peak_bytes, spec.memory_bytes),
        awake_bytes=int(spec.memory_bytes),
        asleep_bytes=_or(spec.asleep_bytes, min(spec.memory_bytes, ASLEEP_BYTES)),
        sleep_host_bytes=_or(spec.sleep_host_bytes, ceil(weights_bytes * PINNED_SHARE)),
    )


def sleep_levels_of(spec: ModelSpec, is_gpu: bool) -> tuple[int, ...]:
    """The levels of sleep that are open to `spec`.

    Unless its file says otherwise none for an embedder, which keeps most of its memory asleep (80 to 87 % in one
    fleet; vllm-project/vllm, docs/features/sleep_mode_multi_tenant.md of a pull request), and none where there is no
    GPU, on which a sleep frees nothing.
    """
    if spec.sleep_levels is not None:
        return tuple(sorted(spec.sleep_levels))
    return BOTH_LEVELS if is_gpu and not spec.embedder else ()


def _or(said: int | None, estimated: int) -> int:
    return int(estimated if said is None else said)
