"""What stands between a process and its engine: who may ask at the gate, what it may prepare, what it becomes.

Rule: the facts of a launch are noted, and kept for the next proxy, before the process has its answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from catalog.diff import launch_identity
from catalog.render import Launch, Preparation
from catalog.spec import ModelSpec
from proxy.adapters import engine_keys, processes
from proxy.adapters.engine_keys import EngineKeys
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import Program, SupervisorError
from proxy.core.errors import EngineStartFailed, GateRefused
from proxy.lifecycle.groups import Groups, Launched
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.starts import Starts
from proxy.lifecycle.watch import Watch


class Programs(Protocol):
    """Who knows what supervisord runs."""

    async def program(self, name: str) -> Program:
        """One program. Raises: SupervisorError."""


class Launches(Protocol):
    """Who prepares a launch."""

    def prepare(
        self, spec: ModelSpec, devices: tuple[str, ...], awake_bytes: int, kv_cache_bytes: int | None
    ) -> Launch:
        """What the engine's process is to become. Raises: RotaError."""

    def missing_weights(self, spec: ModelSpec) -> EngineStartFailed | None:
        """The error if it has none."""

    def preparation(self, spec: ModelSpec) -> Preparation:
        """What it may do before that. Raises: RotaError."""


class Launching:
    """The launches of one catalog's engines."""

    def __init__(
        self,
        *,
        specs: Mapping[str, ModelSpec],
        programs: Programs,
        launches: Launches,
        memory: Memory,
        watch: Watch,
        groups: Groups,
        launched: StateFile[dict[str, Launched]],
        keys: EngineKeys,
        starts: Starts,
    ) -> None:
        self.starts = starts
        self._specs = specs
        self._programs = programs
        self._launches = launches
        self._memory = memory
        self._watch = watch
        self._groups = groups
        self._launched_file = launched
        self.launched = launched.read()
        """The launches of this life and, until they are replaced, of the one before, by model."""
        self.on_launch: Callable[[str], None] | None = None
        """Told the model whose engine starts."""
        self._engine_keys = keys

    def __repr__(self) -> str:
        return f"<Launching {self._groups!r}>"

    def why_not(self, model: str) -> EngineStartFailed | None:
        """The error if `model` has no weights: found before anybody makes room for it."""
        return self._launches.missing_weights(self._specs[model])

    async def preparation(self, model: str) -> Preparation:
        """What `model`'s process may do before it has leave. Raises: RotaError if its start is bound to fail."""
        return await asyncio.to_thread(self._launches.preparation, self._specs[model])

    async def check_asker(self, model: str, pid: int) -> None:
        """Note who asks. Raises: GateRefused if `pid` is not supervisord's process of `model`."""
        try:
            program = await self._programs.program(model)
        except SupervisorError as error:
            raise GateRefused(f"{model}: {error}") from error
        if program.pid != pid:
            how = f"start it with `bin/manage_vllm.sh start {model}`, or with supervisorctl"
            raise GateRefused(f"pid {pid} is not supervisord's program {model}: {how}")
        self._groups.note_asker(model, pid)

    async def launch(self, model: str, pid: int, devices: tuple[str, ...], awake_bytes: int) -> Launch:
        """Take the process `pid` for `model`'s engine and prepare its launch. Raises: RotaError."""
        self._groups.note(model, pid, devices)
        self._watch.start_log(model)  # where a person started it, nobody did so before
        self._watch.watch_leader(model)
        # Its devices may come into its environment too late for others to see: the next proxy must know them.
        entry = launch_identity(self._specs[model])
        if self.on_launch is not None:
            self.on_launch(model)
        key = self._engine_keys.make(model)
        self.launched[model] = Launched(pid, processes.created_at(pid), devices, entry)
        await asyncio.to_thread(self._engine_keys.keep)
        await asyncio.to_thread(self._launched_file.write, dict(self.launched))
        kv_cache_bytes = self._memory.learned(model).kv_cache_bytes
        spec = self._specs[model]
        launch = await asyncio.to_thread(self._launches.prepare, spec, devices, awake_bytes, kv_cache_bytes)
        self.starts.begin(model)
        return Launch(launch.argv, launch.env | {engine_keys.VARIABLE: key})

    def has_leave(self, model: str, pid: int) -> bool:
        """Whether the process `pid` has leave to be `model`'s engine."""
        launched = self.launched.get(model)
        return launched is not None and (launched.pid, launched.created_at) == (pid, processes.created_at(pid))

    def expect(self, model: str) -> None:
        """From now on a process of `model` should be there: if it is not, that is news."""
        self._groups.expect(model)
