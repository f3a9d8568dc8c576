from pathlib import Path

import pytest

from proxy.adapters.amd import TOTAL, USED, AmdDevices, find_card
from proxy.core.devices import DeviceError, DeviceKind, DeviceUse

GIB = 2**30


def card(sysfs: Path, name: str, total: int | str, used: int = 0) -> Path:
    folder = sysfs / name / "device"
    folder.mkdir(parents=True)
    (folder / TOTAL).write_text(f"{total}\n")
    (folder / USED).write_text(f"{used}\n")
    return folder


def test_the_first_card_with_memory_of_its_own_is_the_device(tmp_path: Path) -> None:
    card(tmp_path, "card0", 2**29)
    large = card(tmp_path, "card1", 16 * GIB)
    card(tmp_path, "card2", "unreadable")
    assert find_card(tmp_path) == large
    assert find_card(tmp_path / "nothing") is None


def test_it_has_one_configured_device_and_shows_what_is_used_without_names(tmp_path: Path) -> None:
    devices = AmdDevices(card(tmp_path, "card0", 16 * GIB, used=3 * GIB), lambda total: total - GIB)
    [device] = devices.devices
    assert (device.name, device.kind, device.capacity_bytes) == ("amd0", DeviceKind.AMD, 15 * GIB)
    assert devices.look([]) == [DeviceUse("amd0", 3 * GIB, ())]
    assert devices.env(["amd0"]) == {"HIP_VISIBLE_DEVICES": "0"}


def test_a_card_that_cannot_be_read_any_more_is_named(tmp_path: Path) -> None:
    folder = card(tmp_path, "card0", 16 * GIB)
    devices = AmdDevices(folder, lambda total: total)
    (folder / USED).unlink()
    with pytest.raises(DeviceError, match="amd0 cannot be read"):
        devices.look([])
