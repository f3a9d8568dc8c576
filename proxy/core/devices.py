"""Devices and what is held on them: plain values that the adapters fill in and the core plans with. Bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class DeviceKind(StrEnum):
    """What sort of memory a device is, and so how an engine is pointed at it."""

    NVIDIA = "nvidia"
    MIG = "mig"
    AMD = "amd"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, one MIG instance of one, or the host's memory where there is neither.

    `id` is the UUID that NVML and CUDA agree on ("GPU-...", "MIG-..."; "amd0", "cpu0"); `name` is what people call it
    ("gpu0" as in nvidia-smi, "gpu0.mig1"). Models together may use `capacity_bytes` of its `total_bytes`.
    """

    id: str
    name: str
    kind: DeviceKind
    total_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds memory on a device. `bytes` is None where the driver does not say how much.

    `command` is empty where the process cannot be seen from here (another container's).
    """

    pid: int
    bytes: int | None
    command: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command or 'not visible from here'})"


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """One look at a device: all that is not free, and the processes that hold it, as far as they can be seen."""

    device: str
    used_bytes: int
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Bytes that one engine takes on each of its devices, by what it does.

    `peak_bytes` while it starts, `awake_bytes` while it serves, `asleep_bytes` while it sleeps at either level;
    `sleep_host_bytes` of host memory, pinned, from its first level-1 sleep until its process ends (all devices
    together). Source: vLLM 0.32, `device_allocator/cumem.py`; vllm-project/vllm#16663 for the pinned memory that a
    wake does not give back.
    """

    peak_bytes: int
    awake_bytes: int
    asleep_bytes: int
    sleep_host_bytes: int


@dataclass(frozen=True, slots=True)
class Strangers:
    """What processes that are not our engines hold on one device; the largest first."""

    bytes: int
    processes: tuple[Process, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.processes)) or "processes that cannot be named"


NOBODY = Strangers(0)


@dataclass(frozen=True, slots=True)
class Placing:
    """Where an engine runs, and the bytes reserved for it on each of these devices."""

    devices: tuple[str, ...]
    bytes: int

    def as_mapping(self) -> Mapping[str, int]:
        """Bytes by device."""
        return dict.fromkeys(self.devices, self.bytes)


class DeviceError(Exception):
    """A device cannot be read, or has no room at all for models; the message names it."""
