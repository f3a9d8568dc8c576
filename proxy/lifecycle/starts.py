"""Sees where the time of each start goes: follows the engine's log from its leave until it is ready."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from proxy.adapters import logs
from proxy.core.phases import Phases

SILENT_S = 60.0
"""vLLM says something more often than that, even while it compiles or reads large weights."""

Took = dict[str, float]
"""Seconds by phase, in their order."""


class Starts:
    """Of all models."""

    def __init__(self, log_of: Callable[[str], Path]) -> None:
        self._log_of = log_of
        self.heard: Callable[[str, bool], None] = lambda model, is_silent: None
        """Told the model whose start has been silent for `SILENT_S`, and when it is so no more."""
        self.begun: Callable[[str, str], None] = lambda model, phase: None
        """Told the model, and which phase of its start has begun."""
        self._now: dict[str, Phases] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Starts {', '.join(self._now)}>"

    def begin(self, model: str) -> None:
        """It has leave."""
        self.drop(model)
        phases = self._now[model] = Phases(asyncio.get_running_loop().time())
        self._following[model] = asyncio.create_task(self._follow(model, phases))

    def ready(self, model: str) -> Took:
        """It is ready: where the time went; empty for one that was not seen to begin."""
        phases = self._now.get(model)
        self.drop(model)
        if phases is None:
            return {}
        return {name.value: took_s for name, took_s in phases.took(asyncio.get_running_loop().time()).items()}

    def drop(self, model: str) -> None:
        """It ends, or begins anew."""
        self._now.pop(model, None)
        if (following := self._following.pop(model, None)) is not None:
            following.cancel()

    async def _follow(self, model: str, phases: Phases) -> None:
        loop, begun = asyncio.get_running_loop(), b""
        silence = loop.call_later(SILENT_S, self.heard, model, True)
        try:
            async for piece in logs.follow(self._log_of(model), 0, lambda: self._now.get(model) is not phases):
                if silence.when() <= loop.time():
                    self.heard(model, False)
                silence.cancel()
                silence = loop.call_later(SILENT_S, self.heard, model, True)
                *lines, begun = (begun + piece).split(b"\n")
                for line in lines:
                    before = phases.now
                    phases.line(line.decode(errors="replace"), loop.time())
                    if phases.now is not before:
                        self.begun(model, phases.now.value)
        finally:
            silence.cancel()
