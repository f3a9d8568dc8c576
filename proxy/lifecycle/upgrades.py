"""Sees where vLLM was installed anew under processes that have imported the one before."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from proxy.adapters.vllm_version import stamp_of
from proxy.core import messages
from proxy.core.messages import Event

Stamp = tuple[tuple[str, int], ...]


class Upgrades:
    """Of the vLLM of each model that was told what it may import."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[Path, Stamp]] = {}

    def __repr__(self) -> str:
        return f"<Upgrades under {', '.join(self._noted)}>"

    async def note(self, model: str, executable: str | None) -> None:
        """From now on its process may import what `executable` will; None: it imports nothing."""
        if executable is None:
            self._noted.pop(model, None)
            return
        path = Path(executable)
        self._noted[model] = path, await asyncio.to_thread(stamp_of, path)

    async def look(self, parked: Iterable[str]) -> list[Event]:
        """An event for each of the `parked` whose vLLM is not the one of then."""
        noted = {model: self._noted[model] for model in parked if model in self._noted}
        paths = {path for path, _ in noted.values()}
        now = {path: await asyncio.to_thread(stamp_of, path) for path in paths}
        return [messages.VllmChanged(model) for model, (path, stamp) in noted.items() if now[path] != stamp]
