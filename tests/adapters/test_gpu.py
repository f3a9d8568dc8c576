import os

import psutil
import pytest

from proxy.adapters import gpu
from proxy.adapters.gpu import DeviceError, HostDevice, NvidiaDevice, open_device

GIB = 2**30
HAS_NVIDIA = gpu._has_nvidia()


@pytest.mark.skipif(HAS_NVIDIA, reason="this machine has an NVIDIA GPU")
@pytest.mark.parametrize(
    ("limit", "budget", "capacity"),
    [(6 * GIB, None, 6 * GIB), (6 * GIB, 4 * GIB, 4 * GIB), (3 * GIB, 4 * GIB, 3 * GIB)],
)
def test_without_nvidia_the_smaller_of_setting_and_budget_rules(limit: int, budget: int | None, capacity: int) -> None:
    device = open_device(limit_bytes=limit, reserve_bytes=GIB, budget_bytes=budget)
    assert isinstance(device, HostDevice)
    assert (device.capacity_bytes, device.gpu_total_bytes) == (capacity, None)


@pytest.mark.skipif(HAS_NVIDIA, reason="this machine has an NVIDIA GPU")
def test_without_nvidia_and_settings_half_of_the_hosts_memory_is_the_device() -> None:
    device = open_device(limit_bytes=None, reserve_bytes=GIB, budget_bytes=None)
    assert device.capacity_bytes == psutil.virtual_memory().total // 2


def test_the_host_device_sees_what_processes_hold() -> None:
    device = HostDevice(GIB)
    assert device.held_bytes([os.getpid()]) > 2**20
    assert device.is_released([os.getpid()])


class FakeNvml:
    """One GPU of 24 GiB; what its processes hold is said by the test."""

    NVMLError = gpu.pynvml.NVMLError

    def __init__(self, total: int = 24 * GIB) -> None:
        self.total = total
        self.held: dict[int, int | None] = {}

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> object:
        return type("Memory", (), {"total": self.total})

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return "GPU-1"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[object]:
        return [type("Process", (), {"pid": pid, "usedGpuMemory": held}) for pid, held in self.held.items()]


def test_with_nvidia_the_capacity_is_the_total_less_the_reserve_and_the_limits_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "pynvml", FakeNvml())
    device = open_device(limit_bytes=None, reserve_bytes=GIB, budget_bytes=None)
    assert (device.id, device.capacity_bytes, device.gpu_total_bytes) == ("GPU-1", 23 * GIB, 24 * GIB)
    assert open_device(limit_bytes=8 * GIB, reserve_bytes=GIB, budget_bytes=9 * GIB).capacity_bytes == 8 * GIB


def test_a_reserve_as_large_as_the_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "pynvml", FakeNvml())
    with pytest.raises(DeviceError, match="no memory left"):
        open_device(limit_bytes=None, reserve_bytes=24 * GIB, budget_bytes=None)


def test_memory_is_released_when_nvml_does_not_list_the_processes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setattr(gpu, "pynvml", nvml)
    device = NvidiaDevice(0, None)
    nvml.held = {10: 3 * GIB, 11: None, 12: GIB}
    assert device.held_bytes([10, 11]) == 3 * GIB
    assert not device.is_released([11, 99])
    assert device.is_released([99])


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_NVIDIA, reason="this machine has no NVIDIA GPU")
def test_the_real_gpu_has_a_uuid_and_memory() -> None:
    device = open_device(limit_bytes=None, reserve_bytes=GIB, budget_bytes=None)
    assert isinstance(device, NvidiaDevice)
    assert device.id.startswith(("GPU-", "MIG-"))
    assert device.gpu_total_bytes is not None
    assert device.capacity_bytes == device.gpu_total_bytes - GIB
    assert device.held_bytes([os.getpid()]) == 0
