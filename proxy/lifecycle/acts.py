"""What is done to engines outside: start, sleep, wake and stop, each to its very end.

Rule: it decides nothing. Each act does one thing to one engine and says by events how that went; an act that makes
room ends only when the memory has been seen free.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from catalog.spec import ModelSpec
from proxy.adapters import processes
from proxy.adapters.engine import EngineError, NotReady
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import NoSuchProgram, Program, SupervisorError
from proxy.core import messages
from proxy.core.errors import EngineStartFailed
from proxy.core.messages import EngineFound, Event
from proxy.core.probe import Answer, agrees
from proxy.lifecycle.adoption import adopt
from proxy.lifecycle.ending import end_group, end_program
from proxy.lifecycle.groups import Groups, Launched
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.reading import Reading
from proxy.lifecycle.starts import Starts
from proxy.lifecycle.watch import Watch

log = logging.getLogger(__name__)

SOON_S = 10.0
PROBE_TIMEOUT_S = 120.0
"""For the first probe after a start, which may compile kernels; the start's own time-out rules anyway."""


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


class Control(Protocol):
    """Who talks to an engine: is it ready, sleep, wake, the probe."""

    async def wait_ready(self, spec: ModelSpec) -> None:
        """Return when the engine is ready. Raises: NotReady."""

    async def probe(self, spec: ModelSpec, timeout_s: float) -> Answer:
        """Its answer to the probe. Raises: EngineError, like the others."""

    async def sleep(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        """Put it to sleep."""

    async def wake(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        """Wake it."""

    async def sleep_level(self, spec: ModelSpec) -> int:
        """0 awake, 1 or 2 asleep."""


class Lifecycle:
    """The processes of all engines of one catalog."""

    def __init__(
        self,
        *,
        specs: Mapping[str, ModelSpec],
        supervisor: Supervisor,
        control: Control,
        memory: Memory,
        watch: Watch,
        groups: Groups,
        answers: StateFile[dict[str, Answer]],
        launched: Mapping[str, Launched],
        keys: Mapping[str, str],
        choices: Mapping[str, tuple[tuple[str, ...], ...]],
        gate_socket: Path,
        sleep_timeout_s: float,
        starts: Starts,
    ) -> None:
        self._starts = starts
        self._specs = specs
        self._supervisor = supervisor
        self._control = control
        self._memory = memory
        self._watch = watch
        self._groups = groups
        self._answers_file = answers
        self._answers = answers.read()
        """What each engine answered to its probe, by model, vLLM version and flags."""
        self._launched = launched
        self._keys = keys
        self._choices = choices
        self._gate_socket = gate_socket
        self._sleep_timeout_s = sleep_timeout_s
        self._reading = Reading(specs)
        self._start_or_stop: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """A stop waits until supervisord has answered the start before it, or it would find nothing to stop."""

    def __repr__(self) -> str:
        return f"<Lifecycle {self._groups!r}>"

    # --- starting -------------------------------------------------------------------------------------------------

    async def start(self, model: str) -> list[Event]:
        """Have supervisord create the process, which will ask at the gate; StartFailed if it would not."""
        self._groups.expect_nothing(model)
        async with self._start_or_stop[model]:
            self._watch.start_log(model)
            try:
                await self._supervisor.start(model)
            except SupervisorError as error:
                return [messages.StartFailed(model, _not_started(model, error))]
            self._groups.expect(model)
        return []

    async def read_weights(self, model: str) -> None:
        """Have its weights read into the page cache, while others make room for it, until it is up or ends."""
        await self._reading.read(model)

    async def wait_ready(self, model: str) -> list[Event]:
        """EngineReady once it is and has answered its probe; nothing if it never is: that is a time-out's decision."""
        spec = self._specs[model]
        try:
            await self._control.wait_ready(spec)
        except NotReady:
            return []
        try:
            answer = await self._first_answer(spec)
        except EngineError as error:
            what = f"{model} is up, but does not answer a short question as it should"
            return [messages.StartFailed(model, EngineStartFailed(what, detail=str(error)))]
        self._reading.drop(model)
        phases = self._starts.ready(model)
        self._answers[self._keys[model]] = answer
        await asyncio.to_thread(self._answers_file.write, dict(self._answers))  # a copy: others answer meanwhile
        await self._watch.watch_members(model)
        return [*await self._memory.read_log(model), messages.EngineReady(model, phases)]

    async def _first_answer(self, spec: ModelSpec) -> Answer:
        """The answer to the probe after a start, or after an adoption.

        One that was falling asleep when the proxy before us ended was adopted as awake, and would never answer: if
        there is no answer soon and it sleeps, it is woken. Raises: EngineError.
        """
        try:
            return await self._control.probe(spec, SOON_S)
        except EngineError:
            if level := await self._control.sleep_level(spec):
                await self._control.wake(spec, level, self._sleep_timeout_s)
            return await self._control.probe(spec, PROBE_TIMEOUT_S)

    # --- the ladder -----------------------------------------------------------------------------------------------

    async def sleep(self, model: str, level: int) -> list[Event]:
        """Put a drained engine to sleep and see its memory free: EngineAsleep, or SleepFailed with the reason."""
        spec, devices = self._specs[model], self._groups.devices_of(model)
        self._watch.forget_pulse(model)
        before = self._memory.before(model, devices)
        host_before = await self._host_bytes(model) if level == 1 else 0
        try:
            await self._control.sleep(spec, level, self._sleep_timeout_s)
        except EngineError as error:
            return [messages.SleepFailed(model, f"sleep at level {level}: {error}")]
        # What is known to stay, or half of what it held: whoever keeps more has not slept.
        half = max((one.held_bytes for one in before.values()), default=0) // 2
        keeps_bytes = max(self._memory.declared(model).asleep_bytes, half)
        if (missing := await self._memory.settle(model, before, keeps_bytes)) is not None:
            return [messages.SleepFailed(model, f"it says that it sleeps at level {level}, but {missing}")]
        learned = await self._memory.learn_asleep(model)
        if level == 1 and (pinned := await self._host_bytes(model) - host_before) > 0:
            learned += await self._memory.learn_pinned(model, pinned)
        return [*learned, messages.EngineAsleep(model)]

    async def wake(self, model: str, level: int) -> list[Event]:
        """Wake an engine and ask it its probe again: EngineReady if it agrees, or SleepFailed with the reason."""
        spec = self._specs[model]
        self._watch.forget_pulse(model)
        try:
            async with asyncio.timeout(self._sleep_timeout_s):
                await self._control.wake(spec, level, self._sleep_timeout_s)
                answer = await self._control.probe(spec, self._sleep_timeout_s)
        except (EngineError, TimeoutError) as error:
            why = str(error) or f"more than {self._sleep_timeout_s:.0f} s with its probe"
            return [messages.SleepFailed(model, f"wake from level {level}: {why}")]
        kept = self._answers.get(self._keys[model])
        if kept is not None and not agrees(kept, answer):
            what = f"after its wake from level {level} it answers its probe otherwise than after its start"
            return [messages.SleepFailed(model, f"{what}: {_short(answer)}, not {_short(kept)}")]
        return [messages.EngineReady(model)]

    async def _host_bytes(self, model: str) -> int:
        group = self._groups.pid_of(model)
        members = [] if group is None else await asyncio.to_thread(processes.members, group, model)
        return await asyncio.to_thread(processes.resident_bytes, members)

    # --- stopping -------------------------------------------------------------------------------------------------

    async def stop(self, model: str, at_once: bool = False) -> list[Event]:
        """End the engine's processes, all of them and only its own, and wait until its memory is free.

        `at_once`: what is broken, or hangs, is not asked first; it would keep everybody waiting.
        """
        async with self._start_or_stop[model]:
            devices = self._groups.devices_of(model)
            before = self._memory.before(model, devices)
            group = self._groups.leader_of(model)
            ended_itself = at_once and group is not None and not processes.exists(group)
            self._watch.forget(model)
            self._starts.drop(model)
            self._reading.drop(model)
            if at_once and group is not None:
                await end_group(model, group)
            group = await end_program(self._supervisor, model, group)
            how = await self._watch.how_it_ended(model) if ended_itself else None
            self._groups.forget(model)
            if group is not None:
                await end_group(model, group)
            if (missing := await self._memory.settle(model, before)) is not None:
                log.warning("%s is stopped, but %s", model, missing)
            self._groups.expect_nothing(model)
        return [self._memory.note_gone(model), messages.EngineStopped(model, how)]

    # --- adoption -------------------------------------------------------------------------------------------------

    async def adopt(self) -> list[EngineFound]:
        """The engines that run already, once what is left over of others is ended.

        Raises: SupervisorError if supervisord does not answer: without it nobody knows what runs.
        """
        found = await adopt(
            specs=self._specs,
            programs=await self._supervisor.programs(),
            sleepers=self._control,
            groups=self._groups,
            gate_socket=self._gate_socket,
            devices=self._memory.device_ids,
            choices=self._choices,
            launched=self._launched,
            reclaim=end_group,
        )
        for one in found:
            self._watch.watch_leader(one.model)
            if one.sleep_level is not None:
                await self._watch.watch_members(one.model)
        return found


def _not_started(model: str, error: SupervisorError) -> EngineStartFailed:
    if isinstance(error, NoSuchProgram):
        what = f"supervisord has no program for {model}: after a change of the catalog, bin/manage_vllm.sh reload"
    else:
        what = f"supervisord did not start {model}; bin/manage_vllm.sh status says why"
    return EngineStartFailed(what, detail=str(error))


def _short(answer: Answer) -> str:
    return repr(answer.text) if answer.vector is None else f"a vector that begins {answer.vector[:3]}"
