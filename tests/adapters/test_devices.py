from pathlib import Path

import psutil
import pytest

from proxy.adapters import amd, nvml
from proxy.adapters.amd import AmdDevices
from proxy.adapters.devices import open_devices
from proxy.adapters.host import HostDevices
from proxy.adapters.nvml import NvidiaDevices
from proxy.core.devices import DeviceError
from tests.adapters.test_amd import card
from tests.adapters.test_nvml import Driver, driver

__all__ = ["driver"]

GIB = 2**30


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without NVIDIA; its sysfs."""
    monkeypatch.setattr(nvml, "has_nvidia", lambda: False)
    find = amd.find_card
    monkeypatch.setattr(amd, "find_card", lambda: find(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "budget", "capacity"),
    [(6 * GIB, None, 6 * GIB), (6 * GIB, 4 * GIB, 4 * GIB), (3 * GIB, 4 * GIB, 3 * GIB)],
)
def test_without_a_gpu_the_smaller_of_setting_and_budget_rules(
    bare: Path, limit: int, budget: int | None, capacity: int
) -> None:
    devices = open_devices(limit_bytes=limit, reserve_bytes=GIB, budget_bytes=budget)
    assert isinstance(devices, HostDevices)
    assert devices.devices[0].capacity_bytes == capacity


def test_without_a_gpu_and_settings_half_of_the_hosts_memory_is_for_models(bare: Path) -> None:
    devices = open_devices(limit_bytes=None, reserve_bytes=GIB, budget_bytes=None)
    assert devices.devices[0].capacity_bytes == psutil.virtual_memory().total // 2


def test_an_amd_card_is_used_where_there_is_no_nvidia(bare: Path) -> None:
    card(bare, "card0", 16 * GIB)
    devices = open_devices(limit_bytes=None, reserve_bytes=GIB, budget_bytes=None)
    assert isinstance(devices, AmdDevices)
    assert devices.devices[0].capacity_bytes == 15 * GIB


@pytest.mark.parametrize(
    ("limit", "budget", "capacities"),
    [(None, None, [23, 11]), (20 * GIB, None, [20, 11]), (20 * GIB, 9 * GIB, [9, 9])],
)
def test_the_reserve_is_left_free_on_every_gpu_and_limits_hold_for_each(
    driver: Driver, limit: int | None, budget: int | None, capacities: list[int]
) -> None:
    devices = open_devices(limit_bytes=limit, reserve_bytes=GIB, budget_bytes=budget)
    assert isinstance(devices, NvidiaDevices)
    assert [device.capacity_bytes // GIB for device in devices.devices] == capacities


def test_a_reserve_that_leaves_no_room_is_an_error_that_names_the_device(driver: Driver) -> None:
    with pytest.raises(DeviceError, match="gpu1 has no memory left for models after its reserve"):
        open_devices(limit_bytes=None, reserve_bytes=12 * GIB, budget_bytes=None)
