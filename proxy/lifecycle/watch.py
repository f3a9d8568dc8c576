"""Watches that what should run runs: supervisord's word, the end of a process, the pulse of who still runs.

Rule: it acts on nothing. It says by an event that an engine is down; the end of a process wakes it at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from catalog.spec import ModelSpec
from proxy.adapters import logs, processes
from proxy.adapters.supervisord import Program, SupervisorError
from proxy.core import messages
from proxy.core.diagnose import SIGNAL_EXIT, diagnose
from proxy.core.messages import Event
from proxy.core.states import RUNS, EngineState
from proxy.lifecycle.groups import Groups
from proxy.lifecycle.memory import LEAVE_GIVEN

log = logging.getLogger(__name__)

LOG_LINES = 15
WARN_EVERY_S = 30.0
WITH_SUPERVISORCTL = "with supervisorctl"

HAS_PULSE = frozenset({EngineState.READY, EngineState.DRAINING, EngineState.ASLEEP})
"""States in which an engine answers /health; the others have time-outs of their own."""

ENGINE_TITLE = "VLLM::"
"""How vLLM's EngineCore and workers call themselves; its other helpers may come and go."""


class Programs(Protocol):
    """Who knows what supervisord runs."""

    async def programs(self) -> dict[str, Program]:
        """All programs by name. Raises: SupervisorError."""


class Pulse(Protocol):
    """Who knows for how long an engine has given no sign of life."""

    async def silent_for(self, spec: ModelSpec, has_leases: bool, now: float, is_owed: bool = False) -> float:
        """Seconds; 0 while it is well."""

    def forget(self, model: str) -> None:
        """Begin anew."""


class Watch:
    """The watch over the engines of one catalog. `notice` is called when a look is due at once."""

    def __init__(
        self,
        *,
        specs: Mapping[str, ModelSpec],
        supervisor: Programs,
        pulse: Pulse,
        groups: Groups,
        log_of: Callable[[str], Path],
        hang_timeout_s: float,
    ) -> None:
        self._specs = specs
        self._supervisor = supervisor
        self._pulse = pulse
        self._groups = groups
        self._log_of = log_of
        self._hang_timeout_s = hang_timeout_s
        self._watched: dict[str, list[Callable[[], None]]] = {}
        self._ended: dict[str, str] = {}
        self._log_begins: dict[str, int] = {}
        """How many bytes the engine's log had when its start began: what stands before is of earlier runs."""
        self._oom_kills: dict[str, int] = {}
        """How many the kernel had killed for memory when the engine was launched."""
        self._warn_at = 0.0
        self.notice: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<Watch over {', '.join(self._watched) or 'nobody'}>"

    # --- the end of a process -------------------------------------------------------------------------------------

    def watch_leader(self, model: str) -> None:
        """Be told as soon as the leader of `model`'s process group ends."""
        self.forget(model)
        self._oom_kills[model] = processes.oom_kills()
        if (pid := self._groups.pid_of(model)) is not None:
            self._watch_pid(model, pid, "its API server")

    def start_log(self, model: str) -> None:
        """A start begins: from here on its log is of this one."""
        self._log_begins[model] = logs.size(self._log_of(model))

    async def watch_members(self, model: str) -> None:
        """Be told as soon as a process that does its work ends, too: vLLM itself takes seconds to notice."""
        if (group := self._groups.pid_of(model)) is None:
            return
        members = await asyncio.to_thread(processes.members, group, model)
        titles = {pid: await asyncio.to_thread(processes.title, pid) for pid in members if pid != group}
        if self._groups.pid_of(model) == group:
            for pid, title in titles.items():
                if title.startswith(ENGINE_TITLE):
                    self._watch_pid(model, pid, title)

    def forget(self, model: str) -> None:
        """Its processes are being ended: their ends are no news."""
        for close in self._watched.pop(model, []):
            close()
        self._ended.pop(model, None)
        self._pulse.forget(model)

    def forget_pulse(self, model: str) -> None:
        """It is falling asleep or waking: what its pulse was says nothing any more."""
        self._pulse.forget(model)

    def close(self) -> None:
        """End all watches."""
        for model in list(self._watched):
            self.forget(model)

    def _watch_pid(self, model: str, pid: int, what: str) -> None:
        def ended() -> None:
            self._ended.setdefault(model, f"{what}, pid {pid}, ended")
            self.notice()

        self._watched.setdefault(model, []).append(processes.on_end(pid, ended))

    # --- the looks ------------------------------------------------------------------------------------------------

    async def look(self, states: Callable[[], Mapping[str, EngineState]]) -> list[Event]:
        """EngineDown for each engine that should run and, by supervisord or by the end of a process, does not."""
        asked_at = _now()
        ended = dict(self._ended)
        try:
            programs = await self._supervisor.programs()
        except SupervisorError as error:
            if asked_at >= self._warn_at:
                log.warning("%s", error)
                self._warn_at = asked_at + WARN_EVERY_S
            # Whose processes have ended is known all the same.
            return [self._broken(model, ended[model]) for model in self._running(states(), asked_at) if model in ended]
        events = []
        for model in self._running(states(), asked_at):
            program = programs.get(model)
            if not self._is_up(model, program):
                events.append(self._down(model, program))
            elif model in ended and states()[model] is not EngineState.STARTING:
                # A start that failed is left to supervisord, whose exit status tells more, a second later.
                events.append(self._broken(model, ended[model]))
        return events

    async def take_pulse(
        self, states: Mapping[str, EngineState], busy: Collection[str], owed: Collection[str]
    ) -> list[Event]:
        """EngineDown for each engine that has given no sign of life for the time limit."""
        models = [model for model, state in states.items() if state in HAS_PULSE]
        silent_s = await asyncio.gather(
            *(self._pulse.silent_for(self._specs[model], model in busy, _now(), model in owed) for model in models)
        )
        return [
            self._broken(model, f"it has given no sign of life for {seconds:.1f} s")
            for model, seconds in zip(models, silent_s, strict=True)
            if seconds >= self._hang_timeout_s
        ]

    def _running(self, states: Mapping[str, EngineState], asked_at: float) -> list[str]:
        return [model for model, state in states.items() if state in RUNS and self._groups.is_expected(model, asked_at)]

    def _is_up(self, model: str, program: Program | None) -> bool:
        own = self._groups.pid_of(model)
        return program is not None and program.is_alive and program.pid == (own or program.pid)

    def _down(self, model: str, program: Program | None) -> Event:
        if program is None:
            return messages.EngineDown(model, "supervisord does not know its program any more")
        if program.was_stopped_by_hand:
            return messages.EngineDown(model, f"supervisord says {program.state}", by_hand=WITH_SUPERVISORCTL)
        if program.is_alive:
            return messages.EngineDown(model, "another process took its place", by_hand=WITH_SUPERVISORCTL)
        oom_kills = self._oom_kills_since(model)
        words = self._words(model)
        diagnosis = diagnose(words, program.exit_status, oom_kills)
        detail = f"its process ended: {self._how(model, program, oom_kills)}"
        log.warning("%s: %s (%s)", model, detail, diagnosis.code)
        return messages.EngineDown(model, detail, diagnosis=diagnosis, last_words=self._last_lines(model, words))

    async def how_it_ended(self, model: str) -> str | None:
        """With which exit status, or by which signal, its last process ended; None where that cannot be told."""
        try:
            program = (await self._supervisor.programs()).get(model)
        except SupervisorError:
            return None
        if program is None or program.pid is not None:
            return None  # a newer one runs already
        return self._how(model, program, self._oom_kills_since(model))

    def _how(self, model: str, program: Program, oom_kills: int) -> str:
        if program.exit_status != SIGNAL_EXIT:
            return f"exit status {program.exit_status}"
        signal = logs.last_exit(self._log_of("supervisord"), model) or "a signal"
        return signal + (", while the kernel killed processes for want of memory" if oom_kills > 0 else "")

    def _oom_kills_since(self, model: str) -> int:
        """How many processes the kernel has killed for want of memory since the engine was launched."""
        return processes.oom_kills() - self._oom_kills.get(model, processes.oom_kills())

    def _broken(self, model: str, what: str) -> Event:
        log.warning("%s: %s", model, what)
        return messages.EngineDown(model, what, last_words=self._last_lines(model, self._words(model)))

    def _words(self, model: str) -> str:
        """What its log says of this start, and nothing of earlier ones."""
        return logs.since(self._log_of(model), LEAVE_GIVEN, self._log_begins.get(model, 0))

    def _last_lines(self, model: str, words: str) -> str:
        path = self._log_of(model)
        if not (lines := words.splitlines()[-LOG_LINES:]):
            return f"its log {path} says nothing of this start"
        return "\n".join((f"the last lines of {path}:", *lines))


def _now() -> float:
    return time.monotonic()
