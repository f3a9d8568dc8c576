"""The host's memory as the device of engines, on a machine without a GPU. Sizes are bytes."""

import contextlib
from collections.abc import Callable, Collection, Sequence

import psutil

from proxy.adapters.processes import resident_bytes
from proxy.core.devices import Device, DeviceKind, DeviceUse, Process

LARGE_BYTES = 2**28
"""Processes that hold less are not named: every machine has hundreds of them."""

LONGEST_COMMAND = 120


class HostDevices:
    """The one device that is configured here; a process's memory is free when the process is gone."""

    def __init__(self, capacity_of: Callable[[int], int]) -> None:
        total = psutil.virtual_memory().total
        self.devices = (Device("cpu0", "cpu0", DeviceKind.CPU, total, capacity_of(total)),)

    def __repr__(self) -> str:
        return f"<HostDevices {self.devices[0].capacity_bytes}>"

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """Nothing: every process sees the host's memory."""
        return {}

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        """What is used now, by engines and by other large processes.

        Engines' figures are their share of what they use together with others (PSS), the others' are resident sizes:
        PSS is costly to read.
        """
        memory = psutil.virtual_memory()
        ours = [Process(pid, resident_bytes([pid]), "engine") for pid in engine_pids]
        others = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid not in engine_pids and (held := process.memory_info().rss) >= LARGE_BYTES:
                    others.append(Process(process.pid, held, " ".join(process.cmdline())[:LONGEST_COMMAND]))
        return [DeviceUse("cpu0", memory.total - memory.available, (*ours, *others))]
