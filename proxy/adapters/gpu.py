"""The device that engines run on: the first NVIDIA GPU, by NVML, or the host's memory where there is none.

The only module that imports pynvml. Sizes are bytes.
"""

import contextlib
from collections.abc import Mapping
from types import MappingProxyType

import psutil
import pynvml

from proxy.adapters.processes import resident_bytes


class DeviceError(Exception):
    """The device cannot be read, or has no room at all for models."""


class HostDevice:
    """A machine without NVIDIA: the memory is the host's, and a process's memory is free when the process is gone."""

    kind = "cpu"
    gpu_total_bytes: int | None = None
    env: Mapping[str, str] = MappingProxyType({})

    def __init__(self, capacity_bytes: int) -> None:
        self.id = "cpu0"
        self.capacity_bytes = capacity_bytes

    def __repr__(self) -> str:
        return f"<HostDevice {self.id} {self.capacity_bytes}>"

    def held_bytes(self, pids: list[int]) -> int:
        """What these processes hold on the device now."""
        return resident_bytes(pids)

    def is_released(self, pids: list[int]) -> bool:
        """Whether none of these processes, all of them gone, holds memory on the device any more."""
        return True


class NvidiaDevice:
    """The first GPU. Its driver frees a process's memory shortly after the process has ended, and NVML shows when."""

    kind = "nvidia"

    def __init__(self, reserve_bytes: int, limit_bytes: int | None) -> None:
        """Raises: DeviceError."""
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            self.gpu_total_bytes: int | None = int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).total)
            self.id = str(pynvml.nvmlDeviceGetUUID(self._handle))
            # NVML counts GPUs by PCI bus and CUDA by speed: only the UUID is the same card to both.
            self.env: Mapping[str, str] = {"CUDA_VISIBLE_DEVICES": self.id}
        except pynvml.NVMLError as error:
            raise DeviceError(f"NVML cannot read the GPU: {error}") from error
        capacity_bytes = self.gpu_total_bytes - reserve_bytes
        self.capacity_bytes = capacity_bytes if limit_bytes is None else min(capacity_bytes, limit_bytes)

    def __repr__(self) -> str:
        return f"<NvidiaDevice {self.id} {self.capacity_bytes}>"

    def held_bytes(self, pids: list[int]) -> int:
        """What these processes hold on the device now."""
        return sum(held for pid, held in self._holders().items() if pid in pids)

    def is_released(self, pids: list[int]) -> bool:
        """Whether none of these processes, all of them gone, holds memory on the device any more."""
        return not set(pids) & set(self._holders())

    def _holders(self) -> dict[int, int]:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        return {int(process.pid): int(process.usedGpuMemory or 0) for process in processes}


def open_device(limit_bytes: int | None, reserve_bytes: int, budget_bytes: int | None) -> HostDevice | NvidiaDevice:
    """The machine's device: `limit_bytes` from the settings, `budget_bytes` from the catalog; the smallest rules.

    Without NVIDIA and without a limit, half of the host's memory.

    Raises: DeviceError.
    """
    limits = [int(limit) for limit in (limit_bytes, budget_bytes) if limit is not None]
    device: HostDevice | NvidiaDevice
    if _has_nvidia():
        device = NvidiaDevice(reserve_bytes, min(limits, default=None))
    else:
        if limit_bytes is None:
            limits.append(psutil.virtual_memory().total // 2)
        device = HostDevice(min(limits))
    if device.capacity_bytes <= 0:
        raise DeviceError(f"{device.id} has no memory left for models after its reserve of {reserve_bytes} bytes")
    return device


def _has_nvidia() -> bool:
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount()) > 0
    return False
