"""The VRAM ledger of one device: reservations, and sums that are taken on read.

Rule: it stores facts only. There is no running counter that could drift from the reservations.
"""

from types import MappingProxyType


class Overdrawn(RuntimeError):
    """A bug: somebody reserved without asking whether it fits."""


class Ledger:
    """Bytes reserved by model on one device of `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._reservations: dict[str, int] = {}

    def __repr__(self) -> str:
        held = ", ".join(f"{model}={amount}" for model, amount in self._reservations.items())
        return f"<Ledger {self.reserved_bytes}/{self.capacity_bytes} {held}>"

    @property
    def reservations(self) -> MappingProxyType[str, int]:
        """Bytes by model, read only."""
        return MappingProxyType(self._reservations)

    @property
    def reserved_bytes(self) -> int:
        """The sum of all reservations."""
        return sum(self._reservations.values())

    @property
    def free_bytes(self) -> int:
        """What may still be reserved; below zero after adopting more than fits."""
        return self.capacity_bytes - self.reserved_bytes

    def reserve(self, model: str, amount_bytes: int) -> None:
        """Reserve for a start.

        Raises: Overdrawn, and KeyError if `model` has a reservation already.
        """
        if amount_bytes > self.free_bytes:
            raise Overdrawn(f"{model} needs {amount_bytes} bytes and {self.free_bytes} are free")
        self.adopt(model, amount_bytes)

    def adopt(self, model: str, amount_bytes: int) -> None:
        """Record memory that is held already, whether or not it fits: the truth comes first.

        Raises: KeyError if `model` has a reservation already.
        """
        if model in self._reservations:
            raise KeyError(f"{model} has a reservation")
        self._reservations[model] = amount_bytes

    def release(self, model: str) -> None:
        """Give the reservation back, after the memory has been seen free.

        Raises: KeyError if there is none.
        """
        del self._reservations[model]
