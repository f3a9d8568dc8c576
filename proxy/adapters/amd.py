"""One AMD GPU, by the files that the amdgpu driver shows in sysfs. Sizes are bytes.

Source of the files: Linux kernel documentation, gpu/amdgpu, "GPU Memory Usage Information". They do not tell which
process holds what, so all that is not reserved by engines is counted as strangers' that cannot be named.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from proxy.core.devices import Device, DeviceError, DeviceKind, DeviceUse

SYSFS = Path("/sys/class/drm")
TOTAL, USED = "mem_info_vram_total", "mem_info_vram_used"
SMALLEST_BYTES = 2**30
"""Less is the memory of an integrated GPU."""


class AmdDevices:
    """The one device that is configured here."""

    def __init__(self, card: Path, capacity_of: Callable[[int], int]) -> None:
        """`card` is the device's folder. Raises: DeviceError."""
        self._card = card
        total = self._read(TOTAL)
        self.devices = (Device("amd0", "amd0", DeviceKind.AMD, total, capacity_of(total)),)

    def __repr__(self) -> str:
        return f"<AmdDevices {self._card}>"

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """HIP_VISIBLE_DEVICES."""
        return {"HIP_VISIBLE_DEVICES": "0"}

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        """What is used now. Raises: DeviceError."""
        return [DeviceUse("amd0", self._read(USED), ())]

    def _read(self, name: str) -> int:
        try:
            return int((self._card / name).read_text())
        except (OSError, ValueError) as error:
            raise DeviceError(f"amd0 cannot be read: {self._card / name}: {error}") from error


def find_card(sysfs: Path = SYSFS) -> Path | None:
    """The device's folder of the first card with memory of its own, or None."""
    for path in sorted(sysfs.glob(f"card*/device/{TOTAL}")):
        try:
            if int(path.read_text()) >= SMALLEST_BYTES:
                return path.parent
        except (OSError, ValueError):
            continue
    return None
