"""Says whose memory it is that is used on a device: our engines', engine by engine, or strangers'. Pure.

1. What the driver lists under a pid of an engine is that engine's, measured.
2. What it lists under another pid that can be seen from here is a stranger's.
3. The rest is hidden: the driver's own, or under pids of another container, or without a figure. Engines that hold a
   reservation here and were not measured are taken to hold theirs out of it; what is left over is strangers'.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.core.devices import DeviceUse, Process, Strangers

MOST_NAMED = 5
"""Strangers that are named; an error message must stay readable."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Bytes by model on one device: measured, and assumed where the driver does not tell; and strangers'."""

    measured: Mapping[str, int]
    assumed: Mapping[str, int]
    strangers: Strangers
    hidden_bytes: int

    def held_bytes(self, model: str) -> int:
        """What `model` holds, as well as it is known."""
        return self.measured.get(model, self.assumed.get(model, 0))


def attribute(use: DeviceUse, model_of: Mapping[int, str], reserved: Mapping[str, int]) -> Attribution:
    """Attribute what is used on one device; `model_of` has the pids of our engines, `reserved` who should be there."""
    measured: dict[str, int] = {}
    others: list[Process] = []
    for process in use.processes:
        model = model_of.get(process.pid)
        if model is not None and process.bytes is not None:
            measured[model] = measured.get(model, 0) + process.bytes
        elif model is None:
            others.append(process)
    visible = sum(one.bytes or 0 for one in others if one.command)
    hidden = max(0, use.used_bytes - sum(measured.values()) - visible)
    left = hidden
    assumed: dict[str, int] = {}
    for model, reserved_bytes in reserved.items():
        if model not in measured:
            assumed[model] = min(reserved_bytes, left)
            left -= assumed[model]
    named = sorted(others, key=lambda one: -(one.bytes or 0))
    if any(assumed.values()):
        named = [one for one in named if one.command]  # those that cannot be seen may be our own
    return Attribution(measured, assumed, Strangers(visible + left, tuple(named[:MOST_NAMED])), hidden)
