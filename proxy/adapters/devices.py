"""Opens this machine's devices: NVIDIA GPUs by NVML, else one AMD GPU, else the host's memory."""

from collections.abc import Collection, Sequence
from typing import Protocol

from proxy.adapters import amd, nvml
from proxy.adapters.host import HostDevices
from proxy.core.devices import Device, DeviceError, DeviceUse


class Devices(Protocol):
    """What all of them have."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """Every device, in the order of its number."""

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """The variables that make a process see these devices and no others."""

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        """What is used on each now; blocks. Raises: DeviceError."""


def open_devices(*, limit_bytes: int | None, reserve_bytes: int, budget_bytes: int | None) -> Devices:
    """The devices, each with what models may use of it: `limit_bytes` is from the settings, `budget_bytes` from the
    catalog, the smallest rules. On a GPU `reserve_bytes` are left free; the host without a limit gives half.

    Raises: DeviceError.
    """
    limits = [int(limit) for limit in (limit_bytes, budget_bytes) if limit is not None]

    def of_gpu(total_bytes: int) -> int:
        return min([total_bytes - reserve_bytes, *limits])

    def of_host(total_bytes: int) -> int:
        return min([total_bytes if limit_bytes is not None else total_bytes // 2, *limits])

    opened: Devices
    if nvml.has_nvidia():
        opened = nvml.NvidiaDevices(of_gpu)
    elif (card := amd.find_card()) is not None:
        opened = amd.AmdDevices(card, of_gpu)
    else:
        opened = HostDevices(of_host)
    for device in opened.devices:
        if device.capacity_bytes <= 0:
            raise DeviceError(f"{device.name} has no memory left for models after its reserve of {reserve_bytes} bytes")
    return opened
