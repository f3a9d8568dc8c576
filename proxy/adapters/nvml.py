"""NVIDIA GPUs and MIG instances, by NVML. The only module that imports pynvml. Sizes are bytes."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import psutil
import pynvml

from proxy.core.devices import Device, DeviceError, DeviceKind, DeviceUse, Process

T = TypeVar("T")

LONGEST_COMMAND = 120


class NvidiaDevices:
    """All GPUs that the driver shows, each MIG instance in place of a GPU that is divided."""

    def __init__(self, capacity_of: Callable[[int], int]) -> None:
        """`capacity_of` says what models may use of a device's whole memory. Raises: DeviceError."""
        self._capacity_of = capacity_of
        self._handles: dict[str, Any] = {}
        self.devices: tuple[Device, ...] = ()
        try:
            self._open()
        except pynvml.NVMLError as error:
            raise DeviceError(f"NVML cannot read the GPUs: {error}") from error

    def __repr__(self) -> str:
        return f"<NvidiaDevices {', '.join(device.name for device in self.devices)}>"

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """CUDA_VISIBLE_DEVICES. NVML counts GPUs by PCI bus and CUDA by speed: only UUIDs mean the same to both."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(ids)}

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        """What is used on each device now, and by whom. Raises: DeviceError."""
        try:
            return self._look()
        except pynvml.NVMLError_Uninitialized:
            # The driver was reloaded under us: begin anew. The devices are the same, by UUID.
            try:
                self._open()
                return self._look()
            except pynvml.NVMLError as error:
                raise DeviceError(f"NVML cannot be opened again: {error}") from error

    def _open(self) -> None:
        pynvml.nvmlInit()
        found = []
        for name, kind, handle in _all_handles():
            total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            uuid = str(pynvml.nvmlDeviceGetUUID(handle))
            self._handles[uuid] = handle
            found.append(Device(uuid, name, kind, total, self._capacity_of(total)))
        self.devices = tuple(found)

    def _look(self) -> list[DeviceUse]:
        return [_told(device.name, lambda device=device: self._use(device)) for device in self.devices]  # type: ignore[misc]

    def _use(self, device: Device) -> DeviceUse:
        handle = self._handles[device.id]
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        held: dict[int, int | None] = {}
        for process in _processes(handle):
            # A process that computes and draws is listed twice, with the same memory.
            used = None if process.usedGpuMemory is None else int(process.usedGpuMemory)
            known = [one for one in (used, held.get(int(process.pid))) if one is not None]
            held[int(process.pid)] = max(known, default=None)
        processes = tuple(Process(pid, used, _command(pid)) for pid, used in held.items())
        return DeviceUse(device.id, int(memory.total) - int(memory.free), processes)


def has_nvidia() -> bool:
    """Whether a driver answers and shows a GPU."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount()) > 0
    return False


def compute_capabilities() -> dict[str, tuple[int, int]]:
    """The compute capability of each device, by its UUID; an instance has its GPU's. Raises: DeviceError."""
    try:
        pynvml.nvmlInit()
        found = {}
        for index in range(int(pynvml.nvmlDeviceGetCount())):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(gpu)
            for handle in [instance for _, instance in _instances(gpu)] or [gpu]:
                found[str(pynvml.nvmlDeviceGetUUID(handle))] = (int(major), int(minor))
        return found
    except pynvml.NVMLError as error:
        raise DeviceError(f"NVML cannot read the GPUs: {error}") from error


def _all_handles() -> Iterator[tuple[str, DeviceKind, Any]]:
    """Name, kind and handle of each device; names as nvidia-smi counts."""
    for index in range(int(pynvml.nvmlDeviceGetCount())):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        instances = list(_instances(gpu))
        for number, instance in instances:
            yield f"gpu{index}.mig{number}", DeviceKind.MIG, instance
        if not instances:
            yield f"gpu{index}", DeviceKind.NVIDIA, gpu


def _instances(gpu: Any) -> Iterator[tuple[int, Any]]:
    """The MIG instances of a GPU; none where MIG is off or unknown."""
    with contextlib.suppress(pynvml.NVMLError_NotSupported):
        is_on, _ = pynvml.nvmlDeviceGetMigMode(gpu)
        if is_on != pynvml.NVML_DEVICE_MIG_ENABLE:
            return
        for number in range(int(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu))):
            with contextlib.suppress(pynvml.NVMLError_NotFound):  # numbers may have gaps
                yield number, pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)


def _processes(handle: Any) -> list[Any]:
    listed = list(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    with contextlib.suppress(pynvml.NVMLError_NotSupported):  # MIG instances cannot draw
        listed += pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
    return listed


def _command(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return (" ".join(process.cmdline()) or process.name())[:LONGEST_COMMAND]
    return ""


def _told(what: str, ask: Callable[[], T]) -> T:
    """The answer to `ask`. Raises: DeviceError that names `what`; NVMLError_Uninitialized goes through."""
    try:
        return ask()
    except pynvml.NVMLError_Uninitialized:
        raise
    except pynvml.NVMLError as error:
        raise DeviceError(f"NVML cannot read {what}: {error}") from error
