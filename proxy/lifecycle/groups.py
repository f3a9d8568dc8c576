"""Which process group each launched engine runs in, where, and since when. Facts that acts and watches share."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """The process group of one engine: its leader's pid, and the devices it was launched on."""

    pid: int
    devices: tuple[str, ...]


class Groups:
    """The engines that are launched, by model."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._expected_at: dict[str, float] = {}
        """When supervisord was known to run the engine; what it said before that is old news."""

    def __repr__(self) -> str:
        return f"<Groups {', '.join(f'{model}={group.pid}' for model, group in self._groups.items())}>"

    def __contains__(self, model: str) -> bool:
        return model in self._groups

    def note(self, model: str, pid: int, devices: tuple[str, ...]) -> None:
        """The process `pid` becomes `model`'s engine."""
        self._groups[model] = Group(pid, devices)
        self.expect(model)

    def expect(self, model: str) -> None:
        """From now on a process of `model` should be there: if it is not, that is news."""
        self._expected_at[model] = asyncio.get_running_loop().time()

    def expect_nothing(self, model: str) -> None:
        """No process of `model` need be there."""
        self._expected_at.pop(model, None)

    def is_expected(self, model: str, asked_at: float) -> bool:
        """Whether what was asked at `asked_at` is news of the engine that runs now."""
        return asked_at > self._expected_at.get(model, float("inf"))

    def forget(self, model: str) -> None:
        """Its processes are being cleared away."""
        self._groups.pop(model, None)

    def pid_of(self, model: str) -> int | None:
        """The leader's pid, which is the group's number."""
        group = self._groups.get(model)
        return None if group is None else group.pid

    def devices_of(self, model: str) -> tuple[str, ...]:
        """Where it was launched."""
        group = self._groups.get(model)
        return () if group is None else group.devices

    def model_of(self) -> dict[int, str]:
        """The model by group number."""
        return {group.pid: model for model, group in self._groups.items()}
