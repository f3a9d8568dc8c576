"""On which sets of devices a model may run: those that its file names, or any, so many at once as it asks for. Pure."""

from collections.abc import Sequence
from itertools import combinations

from proxy.core.devices import Device, DeviceKind


def choices(devices: Sequence[Device], named: Sequence[str], count: int) -> tuple[tuple[str, ...], ...]:
    """The sets of `count` devices, by id, out of those that `named` allows (all of them if empty).

    A name is a device's name, its id, or a beginning of its id that no other device's id has. MIG instances do not
    work together: CUDA shows a process one of them only (NVIDIA, MIG User Guide, "CUDA Device Enumeration").
    """
    allowed = [device for device in devices if not named or any(_is_meant(device, name, devices) for name in named)]
    if count > 1:
        allowed = [device for device in allowed if device.kind is not DeviceKind.MIG]
    return tuple(combinations((device.id for device in allowed), count))


def unknown(devices: Sequence[Device], named: Sequence[str]) -> list[str]:
    """The names that mean no device of this machine, or more than one."""
    return [name for name in named if not any(_is_meant(device, name, devices) for device in devices)]


def _is_meant(device: Device, name: str, devices: Sequence[Device]) -> bool:
    if name in (device.id, device.name):
        return True
    return [one.id for one in devices if one.id.startswith(name)] == [device.id]
