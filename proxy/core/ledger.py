"""The VRAM ledger of all devices: reservations by engine, what strangers hold, and sums that are taken on read.

Rule: it stores facts only. There is no running counter that could drift from the reservations. Sizes are bytes.
The host's memory that sleeping engines pin is an account of its own.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from proxy.core.devices import NOBODY, Device, Placing, Strangers


class Overdrawn(RuntimeError):
    """A bug: somebody reserved without asking whether it fits."""


class Ledger:
    """Who holds what on `devices`, and on the host, of which sleepers may pin `host_bytes`."""

    def __init__(self, devices: Iterable[Device], host_bytes: int = 0) -> None:
        self.devices = {device.id: device for device in devices}
        self.host_bytes = host_bytes
        self._placings: dict[str, Placing] = {}
        self._pinned: dict[str, int] = {}
        self._strangers: dict[str, Strangers] = {}

    def __repr__(self) -> str:
        held = ", ".join(f"{model}={one.bytes}@{'+'.join(one.devices)}" for model, one in self._placings.items())
        return f"<Ledger {held}>"

    @property
    def placings(self) -> Mapping[str, Placing]:
        """Where each engine that holds memory is, by model; read only."""
        return MappingProxyType(self._placings)

    @property
    def pinned(self) -> Mapping[str, int]:
        """Host bytes by model; read only."""
        return MappingProxyType(self._pinned)

    def reservations(self, device: str) -> dict[str, int]:
        """Bytes by model on one device."""
        return {model: one.bytes for model, one in self._placings.items() if device in one.devices}

    def strangers(self, device: str) -> Strangers:
        """What others hold on one device."""
        return self._strangers.get(device, NOBODY)

    def reserved_bytes(self, device: str) -> int:
        """The sum of all reservations on one device."""
        return sum(self.reservations(device).values())

    def room_bytes(self, device: str) -> int:
        """What models may use together: strangers first take what is left beside the device's capacity."""
        known = self.devices[device]
        return min(known.capacity_bytes, max(0, known.total_bytes - self.strangers(device).bytes))

    def free_bytes(self, device: str) -> int:
        """What may still be reserved; below zero where more is held than fits, which reservations never cause."""
        return self.room_bytes(device) - self.reserved_bytes(device)

    @property
    def host_free_bytes(self) -> int:
        """What sleepers may still pin."""
        return self.host_bytes - sum(self._pinned.values())

    def reserve(self, model: str, placing: Placing) -> None:
        """Reserve for a start.

        Raises: Overdrawn, and KeyError if `model` has a reservation already.
        """
        for device in placing.devices:
            self._check_room(model, device, placing.bytes)
        self.adopt(model, placing)

    def adopt(self, model: str, placing: Placing) -> None:
        """Record memory that is held already, whether or not it fits: the truth comes first.

        Raises: KeyError if `model` has a reservation already.
        """
        if model in self._placings:
            raise KeyError(f"{model} has a reservation")
        self._placings[model] = placing

    def grow(self, model: str, amount_bytes: int) -> None:
        """Reserve more on the devices that `model` is on, before it takes it. Raises: Overdrawn, KeyError."""
        placing = self._placings[model]
        for device in placing.devices:
            self._check_room(model, device, amount_bytes - placing.bytes)
        self.correct(model, amount_bytes)

    def correct(self, model: str, amount_bytes: int) -> None:
        """Record that `model` holds this much, whether or not it fits: it gave some back, or was measured.

        Raises: KeyError.
        """
        self._placings[model] = Placing(self._placings[model].devices, amount_bytes)

    def pin(self, model: str, host_bytes: int) -> None:
        """Reserve host memory for a sleep; what was pinned before is part of it. Raises: Overdrawn."""
        more_bytes = host_bytes - self._pinned.get(model, 0)
        if more_bytes > max(0, self.host_free_bytes):
            raise Overdrawn(f"{model} pins {more_bytes} more bytes and the host has {self.host_free_bytes} left")
        self.adopt_pinned(model, host_bytes)

    def adopt_pinned(self, model: str, host_bytes: int) -> None:
        """Record what a sleeper pins already, whether or not it fits."""
        self._pinned[model] = max(host_bytes, self._pinned.get(model, 0))

    def release(self, model: str) -> None:
        """Give all reservations of `model` back, after the memory has been seen free.

        Raises: KeyError if there is none.
        """
        del self._placings[model]
        self._pinned.pop(model, None)

    def note_strangers(self, seen: Mapping[str, Strangers]) -> None:
        """Record what others hold, by device; a device that is not in `seen` keeps what was known."""
        self._strangers.update((device, strangers) for device, strangers in seen.items() if device in self.devices)

    def _check_room(self, model: str, device: str, more_bytes: int) -> None:
        if more_bytes > max(0, self.free_bytes(device)):
            raise Overdrawn(f"{model} needs {more_bytes} bytes on {device} and {self.free_bytes(device)} are free")
