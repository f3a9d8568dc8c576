"""Takes over what an earlier life of this installation left running, and ends what nobody could serve from.

A left-over is a process of an engine whose leader supervisord does not run, or does not run any more: nobody could
stop it or count its memory. It is known by its launch marks, so nobody else's process is ever touched.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from catalog.diff import launch_identity
from catalog.spec import ModelSpec
from proxy.adapters import processes
from proxy.adapters.engine import EngineError
from proxy.adapters.supervisord import Program
from proxy.core.messages import EngineFound
from proxy.lifecycle.groups import Groups, Launched

log = logging.getLogger(__name__)

VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


class Sleepers(Protocol):
    """Who knows whether an engine sleeps."""

    async def sleep_level(self, spec: ModelSpec) -> int:
        """0 awake, 1 or 2 asleep. Raises: EngineError."""


async def adopt(
    *,
    specs: Mapping[str, ModelSpec],
    programs: Mapping[str, Program],
    sleepers: Sleepers,
    groups: Groups,
    gate_socket: Path,
    devices: Collection[str],
    choices: Mapping[str, tuple[tuple[str, ...], ...]],
    launched: Mapping[str, Launched],
    reclaim: Callable[[str, int], Awaitable[None]],
) -> list[EngineFound]:
    """End what is left over, with `reclaim(model, group)`, then say what runs, where, and how deep it sleeps.

    An engine is on those of `devices` that were kept of its launch (`launched`), or that its environment names; where
    neither is known, on the first of `choices`, the sets of devices that its model may have. One that was launched by
    another entry of the catalog than there is now is outdated; it is not asked anything, perhaps on another port.
    """
    alive = {name: one for name, one in programs.items() if one.is_alive and one.pid is not None}
    there = {(one.model, one.group) for one in await asyncio.to_thread(processes.of_installation, gate_socket)}
    for model, group in sorted(there):
        if model not in alive or alive[model].pid != group or model not in specs:
            log.warning("%s: ending process group %d, left from an earlier life", model, group)
            await reclaim(model, group)
    found = []
    for model, program in alive.items():
        if model not in specs or program.pid is None:
            continue
        if processes.is_waiting_at_gate(program.pid):
            log.info("%s: ending pid %d, which lost its place at the gate with the proxy before us", model, program.pid)
            await reclaim(model, program.pid)
            continue
        before = _of_this(launched.get(model), program.pid)
        own = _kept(before, devices) or _devices(processes.environment(program.pid), devices)
        own = own or next(iter(choices[model]), ())
        entry = launch_identity(specs[model])
        is_outdated = before is not None and before.entry not in ("", entry)
        level = None if is_outdated else await _sleep_level(sleepers, specs[model])
        log.info("adopting %s, pid %d, on %s, %s", model, program.pid, ", ".join(own), _depth(level))
        groups.note(model, program.pid, own)
        found.append(EngineFound(model, own, level, is_outdated))
    return found


def _of_this(launched: Launched | None, pid: int) -> Launched | None:
    """What was kept of the launch of just this process."""
    is_it = launched is not None and (launched.pid, launched.created_at) == (pid, processes.created_at(pid))
    return launched if is_it else None


def _kept(launched: Launched | None, known: Collection[str]) -> tuple[str, ...]:
    return launched.devices if launched is not None and set(launched.devices) <= set(known) else ()


def _devices(environ: Mapping[str, str], known: Collection[str]) -> tuple[str, ...]:
    for variable in VISIBLE_DEVICES:
        named = tuple(environ.get(variable, "").split(","))
        if all(device in known for device in named):
            return named
    return ()


async def _sleep_level(sleepers: Sleepers, spec: ModelSpec) -> int | None:
    """None where it is awake, or starts, or does not answer: its probe will tell."""
    try:
        return await sleepers.sleep_level(spec) or None
    except EngineError:
        return None


def _depth(level: int | None) -> str:
    return "awake" if level is None else f"asleep at level {level}"
