import pytest

from proxy.core.choices import choices, unknown
from proxy.core.devices import Device, DeviceKind

CARDS = [
    Device("GPU-1a", "gpu0", DeviceKind.NVIDIA, 24, 24),
    Device("GPU-1b", "gpu1", DeviceKind.NVIDIA, 24, 24),
    Device("GPU-2c", "gpu2", DeviceKind.NVIDIA, 12, 12),
    Device("MIG-9", "gpu3.mig0", DeviceKind.MIG, 5, 5),
]


def test_any_device_where_none_is_named() -> None:
    assert choices(CARDS, [], 1) == (("GPU-1a",), ("GPU-1b",), ("GPU-2c",), ("MIG-9",))


def test_two_at_once_are_all_pairs_without_instances_of_mig() -> None:
    assert choices(CARDS, [], 2) == (("GPU-1a", "GPU-1b"), ("GPU-1a", "GPU-2c"), ("GPU-1b", "GPU-2c"))


@pytest.mark.parametrize("name", ["gpu2", "GPU-2c", "GPU-2"])
def test_a_device_is_named_by_its_name_its_id_or_a_beginning_that_no_other_has(name: str) -> None:
    assert choices(CARDS, [name], 1) == (("GPU-2c",),)
    assert unknown(CARDS, [name]) == []


def test_what_means_no_device_or_several_is_unknown() -> None:
    assert unknown(CARDS, ["GPU-1", "gpu7", "gpu0"]) == ["GPU-1", "gpu7"]
    assert choices(CARDS, ["GPU-1"], 1) == ()


def test_more_devices_than_there_are_give_no_choice() -> None:
    assert choices(CARDS, ["gpu0"], 2) == ()
