"""The life of engines outside: has supervisord start and stop them, watches them, adopts them, sees them gone.

Rule: it decides nothing. Each method does one thing to one engine and says by an event how that went.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from catalog.render import Launch
from catalog.spec import Catalog, ModelSpec
from proxy.adapters import logs, processes
from proxy.adapters.engine import NotReady
from proxy.adapters.supervisord import NoSuchProgram, Program, SupervisorError
from proxy.core import messages
from proxy.core.diagnose import diagnose
from proxy.core.errors import EngineStartFailed, GateRefused
from proxy.core.messages import Event

log = logging.getLogger(__name__)

STOP_POLL_S = 0.05
WARN_EVERY_S = 10.0
LOG_LINES = 15
LEAVE_GIVEN = "leave given: "
"""What `bin/engine` prints when it becomes vLLM: what follows in the log is of this start."""


class Supervisor(Protocol):
    """Who owns the processes."""

    async def programs(self) -> dict[str, Program]:
        """All programs by name. Raises: SupervisorError, like the others."""

    async def program(self, name: str) -> Program:
        """One program."""

    async def start(self, name: str) -> None:
        """Have its process created."""

    async def stop(self, name: str) -> None:
        """Ask its process to end."""


class Probe(Protocol):
    """Who knows whether an engine is ready."""

    async def wait_ready(self, spec: ModelSpec) -> None:
        """Return when the engine is ready. Raises: NotReady."""


class Launches(Protocol):
    """Who prepares a launch."""

    def prepare(self, spec: ModelSpec) -> Launch:
        """What the engine's process is to become. Raises: RotaError."""


class Device(Protocol):
    """Who sees the memory come back."""

    def is_released(self, pids: list[int]) -> bool:
        """Whether these processes, all of them gone, hold no memory on the device any more."""

    def held_bytes(self, pids: list[int]) -> int:
        """What these processes hold on the device now."""


class Lifecycle:
    """The processes of all engines of one catalog on one device."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        supervisor: Supervisor,
        probe: Probe,
        launches: Launches,
        device: Device,
        gate_socket: Path,
        log_of: Callable[[str], Path],
    ) -> None:
        self._catalog = catalog
        self._supervisor = supervisor
        self._probe = probe
        self._launches = launches
        self._device = device
        self._gate_socket = gate_socket
        self._log_of = log_of
        self._groups: dict[str, int] = {}
        """The process group of each engine that is launched: its leader's pid."""
        self._launched_at: dict[str, float] = {}
        """When supervisord was known to run the engine; what it said before that is old news."""
        self._start_or_stop = {model: asyncio.Lock() for model in catalog.models}
        """A stop waits until supervisord has answered the start before it, or it would find nothing to stop."""

    def __repr__(self) -> str:
        return f"<Lifecycle {self._groups}>"

    def group_of(self, model: str) -> int | None:
        """The process group of `model`'s engine, if it was launched."""
        return self._groups.get(model)

    async def held_bytes(self) -> dict[str, int]:
        """What each engine's processes hold on the device now, by model."""
        return await asyncio.to_thread(self._held_bytes, dict(self._groups))

    def _held_bytes(self, groups: dict[str, int]) -> dict[str, int]:
        running = processes.engine_processes()
        return {
            model: self._device.held_bytes([one.pid for one in running if (one.model, one.group) == (model, group)])
            for model, group in groups.items()
        }

    async def start(self, model: str) -> Event | None:
        """Have supervisord create the process, which will ask at the gate; StartFailed if it would not."""
        self._launched_at.pop(model, None)
        async with self._start_or_stop[model]:
            try:
                await self._supervisor.start(model)
            except SupervisorError as error:
                return messages.StartFailed(model, EngineStartFailed(f"{model}: {error}"))
            self.expect(model)
        return None

    async def check_asker(self, model: str, pid: int) -> None:
        """Raises: GateRefused if `pid` is not supervisord's process of `model`."""
        try:
            program = await self._supervisor.program(model)
        except SupervisorError as error:
            raise GateRefused(f"{model}: {error}") from error
        if program.pid != pid:
            how = f"start it with `bin/manage_vllm.sh start {model}`, or with supervisorctl"
            raise GateRefused(f"pid {pid} is not supervisord's program {model}: {how}")

    async def launch(self, model: str, pid: int) -> Launch:
        """Take the process `pid` for `model`'s engine and prepare its launch. Raises: RotaError."""
        self._note_launch(model, pid)
        return await asyncio.to_thread(self._launches.prepare, self._catalog.models[model])

    def expect(self, model: str) -> None:
        """From now on a process of `model` should be there: if it is not, that is news."""
        self._launched_at[model] = _now()

    async def wait_ready(self, model: str) -> Event | None:
        """EngineReady as soon as it is; nothing if it never is: that time-out is the scheduler's decision."""
        with suppress(NotReady):
            await self._probe.wait_ready(self._catalog.models[model])
            return messages.EngineReady(model)
        return None

    async def stop(self, model: str) -> Event:
        """End the engine's processes, all of them and only its own, and wait until its memory is free."""
        async with self._start_or_stop[model]:
            group = await self._end_program(model, self._groups.get(model))
            self._groups.pop(model, None)
            if group is not None:
                await self._reclaim(model, group)
            self._launched_at.pop(model, None)
        return messages.EngineStopped(model)

    async def adopt(self) -> list[str]:
        """The models whose engines run already, from before this proxy's life, once all other left-overs are ended.

        A left-over is a process of an engine whose leader supervisord does not run, or does not run any more: nobody
        could serve from it, stop it or count its memory.

        Raises: SupervisorError if supervisord does not answer: without it nobody knows what runs.
        """
        programs = await self._supervisor.programs()
        alive = {name: one for name, one in programs.items() if one.is_alive and one.pid is not None}
        there = {
            (one.model, one.group) for one in await asyncio.to_thread(processes.of_installation, self._gate_socket)
        }
        for model, group in sorted(there):
            if model not in alive or alive[model].pid != group:
                log.warning("%s: ending process group %d, left from an earlier life", model, group)
                await self._reclaim(model, group)
        found = []
        for model, program in alive.items():
            if model not in self._catalog.models or program.pid is None or processes.is_waiting_at_gate(program.pid):
                continue  # at the gate: it lost its connection to the proxy before us, says so in its log, and ends
            log.info("adopting %s, pid %d", model, program.pid)
            self._note_launch(model, program.pid)
            found.append(model)
        return found

    async def look(self, running: Callable[[], list[str]]) -> list[Event]:
        """EngineDown for each of the engines that should be `running` and, by supervisord, are not."""
        asked_at = _now()
        try:
            programs = await self._supervisor.programs()
        except SupervisorError as error:
            log.warning("%s", error)
            return []
        known = (model for model in running() if asked_at > self._launched_at.get(model, float("inf")))
        return [
            self._down(model, programs.get(model)) for model in known if not self._is_up(model, programs.get(model))
        ]

    def _is_up(self, model: str, program: Program | None) -> bool:
        return program is not None and program.is_alive and program.pid == self._groups.get(model, program.pid)

    def _down(self, model: str, program: Program | None) -> Event:
        if program is None:
            return messages.EngineDown(model, "supervisord does not know its program any more")
        if program.was_stopped_by_hand:
            return messages.EngineDown(model, f"supervisord says {program.state}", by_hand=True)
        path = self._log_of(model)
        diagnosis = diagnose(logs.since(path, LEAVE_GIVEN), program.exit_status)
        detail = f"Exit status {program.exit_status}; the last lines of {path}:\n{logs.tail(path, LOG_LINES)}"
        log.warning("%s: its process ended, exit status %d (%s)", model, program.exit_status, diagnosis.code)
        return messages.EngineDown(model, detail, diagnosis=diagnosis)

    async def _end_program(self, model: str, group: int | None) -> int | None:
        """Have supervisord end the process `group`, or the one it runs now; a newer one at the gate is left alone.

        Returns the process group that is now without its leader, or None if there was no process at all.
        """
        warn_at = _now()
        has_asked = False
        while True:
            try:
                program = await self._supervisor.program(model)
                group = group or program.pid
                if program.pid is None or program.pid != group:
                    return group
                if program.is_alive and not has_asked:
                    await self._supervisor.stop(model)
                    has_asked = True
            except NoSuchProgram:
                return group
            except SupervisorError as error:
                if _now() >= warn_at:
                    log.warning("%s: cannot be stopped yet: %s", model, error)
                    warn_at = _now() + WARN_EVERY_S
            await asyncio.sleep(STOP_POLL_S)

    async def _reclaim(self, model: str, group: int) -> None:
        """See the whole group gone, also where its leader died first, and its memory free on the device."""
        pids: set[int] = {group}
        warn_at = _now() + WARN_EVERY_S
        while True:
            left = await asyncio.to_thread(processes.end_group, group, model)
            pids.update(left)
            if not left and await asyncio.to_thread(self._device.is_released, list(pids)):
                return
            if _now() > warn_at:
                log.warning("%s: still not gone or not free: %s", model, left or pids)
                warn_at += WARN_EVERY_S
            await asyncio.sleep(STOP_POLL_S)

    def _note_launch(self, model: str, pid: int) -> None:
        self._groups[model] = pid
        self.expect(model)


def _now() -> float:
    return asyncio.get_running_loop().time()
