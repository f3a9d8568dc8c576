"""The outside of engines, as a test says it is: supervisord, control endpoints, devices; and real process groups."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from catalog.render import Launch, Preparation
from catalog.spec import ModelSpec
from proxy.adapters.engine import EngineError, NotReady
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import NoSuchProgram, Program, SupervisorError
from proxy.core.devices import Amounts, Device, DeviceError, DeviceKind, DeviceUse, Process
from proxy.core.errors import WeightsMissing
from proxy.core.figures import Learned
from proxy.core.probe import Answer
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.groups import Groups, Launched
from proxy.lifecycle.launching import Launching
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.starts import Starts
from proxy.lifecycle.watch import Watch
from tests.fleet_stage import engine_keys, spec

GIB = 2**30
CARD = "card"
PID = 2**22 + 7
"""Beyond the largest pid of Linux: nobody is hit if a test goes wrong."""
RUNNING = Program("a", "RUNNING", 4242, is_alive=True, was_stopped_by_hand=False, exit_status=0)
STOPPED = replace(RUNNING, state="STOPPED", pid=None, is_alive=False, was_stopped_by_hand=True)
EXITED = replace(RUNNING, state="EXITED", pid=None, is_alive=False, exit_status=1)
DECLARED = Amounts(peak_bytes=10 * GIB, awake_bytes=10 * GIB, asleep_bytes=GIB, sleep_host_bytes=8 * GIB)


class FakeSupervisor:
    def __init__(self) -> None:
        self.now: dict[str, Program] = {"a": STOPPED}
        self.is_away = False
        self.refusal: SupervisorError | None = None
        self.stopped: list[str] = []

    async def programs(self) -> dict[str, Program]:
        if self.is_away:
            raise SupervisorError("away")
        return self.now

    async def program(self, name: str) -> Program:
        programs = await self.programs()
        if name not in programs:
            raise NoSuchProgram(name)
        return programs[name]

    async def start(self, name: str) -> None:
        if self.is_away:
            raise SupervisorError("away")
        if self.refusal:
            raise self.refusal
        self.now[name] = RUNNING

    async def stop(self, name: str) -> None:
        self.stopped.append(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.now[name].pid or 0, signal.SIGKILL)
        self.now[name] = STOPPED


class FakeControl:
    """An engine's endpoints: `said` is its answer to the probe, `error` what its control calls end with."""

    def __init__(self) -> None:
        self.is_never_ready = False
        self.said = Answer(text="Rome")
        self.error: EngineError | None = None
        self.level = 0
        self.calls: list[str] = []
        self.is_silent_until: str | None = None

    async def wait_ready(self, spec: ModelSpec) -> None:
        if self.is_never_ready:
            raise NotReady("no")

    async def probe(self, spec: ModelSpec, timeout_s: float) -> Answer:
        self._call("probe")
        if self.is_silent_until is not None and self.is_silent_until not in self.calls:
            raise EngineError(f"the probe took more than {timeout_s} s")
        return self.said

    async def sleep(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        self._call(f"sleep {level}")

    async def wake(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        self._call(f"wake {level}")

    async def sleep_level(self, spec: ModelSpec) -> int:
        self._call("sleep_level")
        return self.level

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if self.error:
            raise self.error


class FakeLaunches:
    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...], int, int | None]] = []

    def prepare(self, spec: ModelSpec, devices: tuple[str, ...], awake_bytes: int, kv_bytes: int | None) -> Launch:
        self.asked.append((spec.name, devices, awake_bytes, kv_bytes))
        return Launch([spec.name], {})

    def missing_weights(self, spec: ModelSpec) -> WeightsMissing | None:
        return WeightsMissing("none") if spec.name == "b" else None

    def preparation(self, spec: ModelSpec) -> Preparation:
        return Preparation(f"/{spec.name}", {})


class FakePulse:
    def __init__(self) -> None:
        self.silent_s: dict[str, float] = {}
        self.asked: list[tuple[str, bool, bool]] = []
        self.forgotten: list[str] = []

    async def silent_for(self, spec: ModelSpec, has_leases: bool, now: float, is_owed: bool = False) -> float:
        self.asked.append((spec.name, has_leases, is_owed))
        return self.silent_s.get(spec.name, 0.0)

    def forget(self, model: str) -> None:
        self.forgotten.append(model)


class FakeDevices:
    """One device; `looks` are what is seen, one after the other, the last for ever."""

    def __init__(self, kind: DeviceKind = DeviceKind.NVIDIA) -> None:
        self.devices = (Device(CARD, "gpu0", kind, 24 * GIB, 23 * GIB),)
        self.looks: list[DeviceUse | DeviceError] = [see()]

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        seen = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(seen, DeviceError):
            raise seen
        return [seen]


def see(used_gib: float = 0, *others: Process, pid: float | None = None) -> DeviceUse:
    """What is used in all, by `others`, and by the process PID."""
    own = () if pid is None else (Process(PID, round(pid * GIB), "x"),)
    return DeviceUse(CARD, round(used_gib * GIB), (*own, *others))


class Stage:
    def __init__(self, folder: Path, kind: DeviceKind = DeviceKind.NVIDIA) -> None:
        models = {name: spec(name) for name in ("a", "b")}
        self.folder = folder
        self.specs = models
        self.supervisor, self.control, self.launches = FakeSupervisor(), FakeControl(), FakeLaunches()
        self.pulse, self.devices, self.groups = FakePulse(), FakeDevices(kind), Groups()
        self.notices = 0
        keys = {name: f"{name}|1|x" for name in models}
        self.memory = Memory(
            devices=self.devices,
            groups=self.groups,
            declared=dict.fromkeys(models, DECLARED),
            keys=keys,
            learned=StateFile(folder / "figures.json", Learned, {}),
            log_of=self.log_of,
            settle_timeout_s=0.3,
        )
        self.watch = Watch(
            specs=models,
            supervisor=self.supervisor,
            pulse=self.pulse,
            groups=self.groups,
            log_of=self.log_of,
            hang_timeout_s=5.0,
        )
        self.watch.notice = self.note
        self.engine_keys = engine_keys(folder / "engine_keys.json")
        starts = Starts(lambda model: folder / f"{model}.log")
        self.launching = Launching(
            specs=models,
            programs=self.supervisor,
            launches=self.launches,
            memory=self.memory,
            watch=self.watch,
            groups=self.groups,
            launched=StateFile(folder / "launched.json", dict[str, Launched], {}),
            keys=self.engine_keys,
            starts=starts,
        )
        self.lifecycle = Lifecycle(
            specs=models,
            supervisor=self.supervisor,
            control=self.control,
            memory=self.memory,
            watch=self.watch,
            groups=self.groups,
            answers=StateFile(folder / "probes.json", dict[str, Answer], {}),
            launched=self.launching.launched,
            keys=keys,
            choices=dict.fromkeys(models, ((CARD,),)),
            gate_socket=folder / "gate.sock",
            sleep_timeout_s=1.0,
            starts=starts,
        )

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def note(self) -> None:
        self.notices += 1


_GROUP = """
import os, sys, time
pid = os.fork()
if pid == 0:
    code = "import time; print(1, flush=True); time.sleep(600)"
    os.execv(sys.executable, ["VLLM::EngineCore", "-S", "-E", "-c", code])
time.sleep(600)
"""


@contextlib.contextmanager
def engine_group(folder: Path, model: str = "a", **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process group like an engine's: a leader that dies and an EngineCore that does not, both with the marks."""
    marks = {"ROTA_ENGINE": model, "ROTA_GATE": str(folder / "gate.sock")}
    leader = subprocess.Popen(
        [sys.executable, "-c", _GROUP],
        env={**os.environ, **marks, **environ},
        start_new_session=True,
        stdout=-1,
        text=True,
    )
    with leader:
        assert leader.stdout is not None
        leader.stdout.readline()  # both are there, and have become what they are
        yield leader
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)
