"""A fleet whose outside does what the test tells it to."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Generic, TypeVar

from catalog.render import Launch, Preparation
from catalog.spec import Gib, ModelSpec
from proxy.adapters.engine_keys import EngineKeys
from proxy.adapters.state_files import StateFile
from proxy.core import messages
from proxy.core.costs import Costs
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.errors import EngineStartFailed, GateRefused
from proxy.core.figures import Figures
from proxy.core.messages import Event
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import EngineState
from proxy.entries import Entries, Entry
from proxy.fleet import Fleet
from proxy.keeper import Keeper

T = TypeVar("T")

LAUNCH = Launch(["vllm"], {})
TAKEN = Amounts(30, 30, 5, 25)
UNKNOWN_PID = 2**22 + 1
"""More than Linux gives."""


def spec(name: str) -> ModelSpec:
    return ModelSpec(
        name=name, weights="w", port=8100, memory_bytes=Gib(30), kv_cache_bytes=Gib(1), max_model_len=8, max_num_seqs=1
    )


def engine_keys(path: Path = Path("there is none")) -> EngineKeys:
    """Those that are kept in the file `path`."""
    return EngineKeys(StateFile(path, dict[str, str], {}))


class FakeLifecycle:
    """Answers at once with success, unless the test has put something else in."""

    def __init__(self) -> None:
        self.starts = SimpleNamespace(heard=None, begun=None)
        self.done: list[str] = []
        self.read: list[str] = []
        """Whose weights."""
        self.start_error: EngineStartFailed | None = None
        self.launch_error: EngineStartFailed | None = None
        self.missing: EngineStartFailed | None = None
        self.found: list[messages.EngineFound] = []
        self.prepared = asyncio.Event()
        self.prepared.set()
        self.ready = asyncio.Event()
        self.ready.set()
        self.bug: Exception | None = None
        self.has_leave_pid: int | None = None

    async def start(self, model: str) -> list[Event]:
        self.done.append(f"start {model}")
        if self.bug:
            raise self.bug
        return [messages.StartFailed(model, self.start_error)] if self.start_error else []

    async def read_weights(self, model: str) -> None:
        self.read.append(model)

    async def check_asker(self, model: str, pid: int) -> None:
        if pid == UNKNOWN_PID:
            raise GateRefused("not supervisord's")

    def why_not(self, model: str) -> EngineStartFailed | None:
        return self.missing

    async def preparation(self, model: str) -> Preparation:
        if self.launch_error:
            raise self.launch_error
        return Preparation("/vllm", {})

    def has_leave(self, model: str, pid: int) -> bool:
        return pid == self.has_leave_pid

    async def launch(self, model: str, pid: int, devices: tuple[str, ...], awake_bytes: int) -> Launch:
        self.done.append(f"launch {model} {pid}")
        await self.prepared.wait()
        if self.launch_error:
            raise self.launch_error
        return LAUNCH

    async def wait_ready(self, model: str) -> list[Event]:
        await self.ready.wait()
        return [messages.EngineReady(model)]

    async def sleep(self, model: str, level: int) -> list[Event]:
        self.done.append(f"sleep {model} {level}")
        return [messages.EngineAsleep(model)]

    async def wake(self, model: str, level: int) -> list[Event]:
        self.done.append(f"wake {model} {level}")
        await self.ready.wait()
        return [messages.EngineReady(model)]

    async def stop(self, model: str, at_once: bool = False) -> list[Event]:
        self.done.append(f"stop {model}{' at once' if at_once else ''}")
        return [messages.EngineStopped(model)]

    async def adopt(self) -> list[messages.EngineFound]:
        return self.found

    def expect(self, model: str) -> None:
        self.done.append(f"expect {model}")


class FakeWatch:
    """Sees what the test tells it to."""

    def __init__(self) -> None:
        self.notice: Callable[[], None] | None = None
        self.seen: list[Event] = []
        self.pulses: list[tuple[set[str], list[str]]] = []
        self.is_closed = False
        self.looks = 0

    async def look(self, states: object) -> list[Event]:
        self.looks += 1
        seen, self.seen = self.seen, []
        return seen

    async def take_pulse(self, states: object, busy: set[str], owed: list[str]) -> list[Event]:
        self.pulses.append((set(busy), owed))
        return []

    def close(self) -> None:
        self.is_closed = True


class FakeMemory:
    async def look(self, states: object, placings: object) -> list[Event]:
        return []

    def held_bytes(self, model: str) -> dict[str, int]:
        return {"card": 7} if model == "a" else {}

    def declared(self, model: str) -> Amounts:
        return TAKEN

    def learned(self, model: str) -> Figures:
        return Figures(awake_bytes=29)


class Kept(Generic[T]):
    """Keeps what was written."""

    def __init__(self) -> None:
        self.kept: dict[str, T] = {}

    def read(self) -> dict[str, T]:
        return self.kept

    def write(self, value: dict[str, T]) -> bool:
        self.kept = dict(value)
        return True


class FakePrograms:
    def __init__(self) -> None:
        self.removed: list[str] = []

    async def remove(self, model: str) -> None:
        self.removed.append(model)


class FakeDevices:
    def __init__(self, *devices: Device) -> None:
        self.devices = devices


class Stage:
    def __init__(self, levels: tuple[int, ...] = (), preloads: tuple[str, ...] = ()) -> None:
        models = {name: spec(name) for name in ("a", "b")}
        keys = {name: f"{name}|0.32.0" for name in models}
        self.entries = Entries(Entry(one, TAKEN, (("card",),), levels, keys[name]) for name, one in models.items())
        self.programs = FakePrograms()
        needs = {name: EngineNeeds(TAKEN, (("card",),), 60, levels) for name in models}
        self.devices = FakeDevices(Device("card", "gpu0", DeviceKind.NVIDIA, 40, 40))
        self.scheduler = Scheduler(self.devices.devices, needs, host_bytes=100)
        self.lifecycle, self.watch, self.memory = FakeLifecycle(), FakeWatch(), FakeMemory()
        self.stops, self.costs = Kept[str](), Kept[Costs]()
        self.keeper = Keeper(
            stops=self.stops,  # type: ignore[arg-type]
            pins=Kept[bool](),  # type: ignore[arg-type]
            costs=self.costs,  # type: ignore[arg-type]
            keys=self.entries.keys,
        )
        self.fleet = Fleet(
            entries=self.entries,
            programs=self.programs,
            scheduler=self.scheduler,
            lifecycle=self.lifecycle,  # type: ignore[arg-type]
            launching=self.lifecycle,  # type: ignore[arg-type]
            watch=self.watch,  # type: ignore[arg-type]
            memory=self.memory,  # type: ignore[arg-type]
            keeper=self.keeper,
            preloads=preloads,
            poll_interval_s=0.01,
        )

    async def ask_gate(self, model: str, pid: int) -> Launch:
        """A process asks for leave that has nothing to prepare."""
        self.fleet.asking.reached(model, pid)
        return await self.fleet.asking.leave(model, pid)

    async def found(self, model: str, sleep_level: int | None = None) -> None:
        """An engine that ran before the fleet did."""
        self.lifecycle.found = [messages.EngineFound(model, ("card",), sleep_level)]
        await self.fleet.adopt()

    def leases(self, model: str) -> int:
        return next(view.leases for view in self.fleet.view() if view.model == model)

    async def until(self, model: str, state: EngineState) -> None:
        for _ in range(1000):
            if self.scheduler.states()[model] is state:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{model} is {self.scheduler.states()[model]}, not {state}")
