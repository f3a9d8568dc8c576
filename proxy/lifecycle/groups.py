"""Which process group each launched engine runs in, where, and since when. Facts that acts and watches share."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """The process group of one engine: its leader's pid, and the devices it was launched on."""

    pid: int
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Launched:
    """What is kept of a launch for the next proxy: the leader, its devices, when it was created, and by which entry.

    The time is in clock ticks since the boot; the entry is named by `launch_identity`, and empty where nobody knows.
    """

    pid: int
    created_at: int
    devices: tuple[str, ...]
    entry: str = ""


class Groups:
    """The engines that are launched, by model."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._askers: dict[str, int] = {}
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

    def note_asker(self, model: str, pid: int) -> None:
        """The process `pid` asks at the gate to become `model`'s engine."""
        self._askers[model] = pid

    def leader_of(self, model: str) -> int | None:
        """The leader's pid, also where it has not become the engine yet."""
        return self.pid_of(model) or self._askers.get(model)

    def expect(self, model: str) -> None:
        """From now on a process of `model` should be there: if it is not, that is news."""
        self._expected_at[model] = time.monotonic()

    def expect_nothing(self, model: str) -> None:
        """No process of `model` need be there."""
        self._expected_at.pop(model, None)

    def is_expected(self, model: str, asked_at: float) -> bool:
        """Whether what was asked at `asked_at` is news of the engine that runs now."""
        return asked_at > self._expected_at.get(model, float("inf"))

    def forget(self, model: str) -> None:
        """Its processes are being cleared away."""
        self._groups.pop(model, None)
        self._askers.pop(model, None)

    def pid_of(self, model: str) -> int | None:
        """The leader's pid, which is the group's number."""
        group = self._groups.get(model)
        return None if group is None else group.pid

    def devices_of(self, model: str) -> tuple[str, ...]:
        """Where it was launched."""
        group = self._groups.get(model)
        return () if group is None else group.devices

    def model_of(self) -> dict[int, str]:
        """The model by group number, also of those that have not become engines yet."""
        askers = {pid: model for model, pid in self._askers.items()}
        return askers | {group.pid: model for model, group in self._groups.items()}
