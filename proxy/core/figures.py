"""What was learned of an engine's memory, and what to reserve for it given that. Pure; bytes per device.

Three sources: the catalog declares, vLLM's log tells once (`from_log`), and the device shows (`observe`).
"""

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from catalog.render import CUDA_CONTEXT_BYTES
from catalog.spec import GIB
from proxy.core.devices import Amounts
from proxy.core.states import EngineState

MARGIN_BYTES = 150 * 2**20
"""What vLLM itself keeps free for errors of its own measurement (0.32, `gpu_worker.py` redundancy_buffer_memory)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes that an engine takes on each device, as far as that was measured; None where it was not.

    Seen on the device: `peak_bytes` while it starts, `awake_bytes` while it serves, `asleep_bytes` while it sleeps;
    `sleep_host_bytes` of host memory (all devices together). From vLLM's log: `logged_bytes`, all that it counts on
    taking awake, its peak activation included; `kv_cache_bytes`, the KV cache that fits its reservation.
    """

    peak_bytes: int | None = None
    awake_bytes: int | None = None
    asleep_bytes: int | None = None
    logged_bytes: int | None = None
    sleep_host_bytes: int | None = None
    kv_cache_bytes: int | None = None


Learned: TypeAlias = dict[str, Figures]
"""Figures by `figures_key`."""

_NUMBER = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
_LINE = re.compile(
    rf"Actual usage is {_NUMBER} GiB for consumed memory \(weights \+ non-torch\), "
    rf"{_NUMBER} GiB for peak activation, and {_NUMBER} GiB for CUDAGraph memory\. "
    r"Replace gpu_memory_utilization config with `--kv-cache-memory=(-?\d+)` "
    rf"\(.*?Current kv cache memory in use is {_NUMBER} GiB"
)
# "(Worker_TP1 pid=71) INFO ...": the number changes with each start, the name does not.
_WORKER = re.compile(r"\((\S+) pid=\d+\)")


def figures_key(model: str, version: str, identity: str) -> str:
    """The key that figures are stored under: another vLLM or other flags make other figures."""
    return f"{model}|{version}|{identity}"


def amounts(declared: Amounts, learned: Figures) -> Amounts:
    """What to reserve, given both.

    Awake: what vLLM's log counts, with a margin, and else what the catalog declares; in any case no less than was
    seen. What was seen alone never lowers it, since an engine that has just started has not had its peak activation
    yet. Asleep: what was seen. The host memory of a sleep is the larger of both, since pinned pages need not show in
    a process's own figures.
    """
    counted = declared.awake_bytes if learned.logged_bytes is None else learned.logged_bytes + MARGIN_BYTES
    awake = max(counted, learned.awake_bytes or 0)
    asleep = declared.asleep_bytes if learned.asleep_bytes is None else learned.asleep_bytes
    # The catalog's own estimate of the peak is its awake figure: where that turned out too high, so did the peak.
    peak = declared.peak_bytes if declared.peak_bytes > declared.awake_bytes else 0
    return Amounts(
        peak_bytes=max(peak, learned.peak_bytes or 0, awake),
        awake_bytes=awake,
        asleep_bytes=min(asleep, awake),
        sleep_host_bytes=max(declared.sleep_host_bytes, learned.sleep_host_bytes or 0),
    )


def observe(figures: Figures, *, state: EngineState, held_bytes: int) -> Figures:
    """The figures after one look at an engine that holds `held_bytes` in `state`.

    The most seen while it starts is the peak; the most while it serves is awake, and a peak too; the last while it
    sleeps is asleep. Looks in other states, and at nothing, teach nothing.
    """
    if held_bytes <= 0:
        return figures
    match state:
        case EngineState.STARTING:
            return replace(figures, peak_bytes=_larger(figures.peak_bytes, held_bytes))
        case EngineState.READY:
            return replace(
                figures,
                peak_bytes=_larger(figures.peak_bytes, held_bytes),
                awake_bytes=_larger(figures.awake_bytes, held_bytes),
            )
        case EngineState.ASLEEP:
            return replace(figures, asleep_bytes=held_bytes)
        case _:
            return figures


def from_log(text: str) -> Figures | None:
    """What vLLM's log tells after a start that measured its KV cache itself; None if it holds no such line.

    With `--kv-cache-memory-bytes`, vLLM measures nothing and prints no such line. Where a worker measured more than
    once, the last counts. Of several workers (tensor parallel), the one that needs the most gives the awake bytes,
    and the one with the least room the KV cache, as vLLM does too: all have the same number of blocks.
    Source: vLLM 0.32, `v1/worker/gpu_worker.py` compile_or_warm_up_model.
    """
    of_workers: dict[str, tuple[int, int]] = {}
    for line in text.splitlines():
        found = _LINE.search(line)
        if found is None:
            continue
        consumed, activation, graphs, current = (_bytes(found[group]) for group in (1, 2, 3, 5))
        # vLLM's own suggestion for the same --gpu-memory-utilization; the margin is already off.
        kv_cache = int(found[4]) if int(found[4]) > 0 else current
        # The suggestion is above what this start took where the graphs came out smaller than estimated.
        awake = consumed + activation + graphs + max(current, kv_cache) + CUDA_CONTEXT_BYTES
        worker = _WORKER.search(line[: found.start()])
        of_workers[worker[1] if worker else ""] = (awake, kv_cache)
    if not of_workers:
        return None
    kv_cache = min(kv_cache for _, kv_cache in of_workers.values())
    return Figures(
        logged_bytes=max(awake for awake, _ in of_workers.values()), kv_cache_bytes=kv_cache if kv_cache > 0 else None
    )


def merge(old: Figures, new: Figures) -> Figures:
    """Both together: the larger peak and awake, and of the rest the newer."""
    return Figures(
        peak_bytes=_larger(old.peak_bytes, new.peak_bytes),
        awake_bytes=_larger(old.awake_bytes, new.awake_bytes),
        asleep_bytes=_newer(old.asleep_bytes, new.asleep_bytes),
        logged_bytes=_newer(old.logged_bytes, new.logged_bytes),
        sleep_host_bytes=_newer(old.sleep_host_bytes, new.sleep_host_bytes),
        kv_cache_bytes=_newer(old.kv_cache_bytes, new.kv_cache_bytes),
    )


def _larger(old: int | None, new: int | None) -> int | None:
    return max((one for one in (old, new) if one is not None), default=None)


def _newer(old: int | None, new: int | None) -> int | None:
    return old if new is None else new


def _bytes(gib: str) -> int:
    return int(float(gib) * GIB)
