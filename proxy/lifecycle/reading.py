"""Has weights read into the page cache for those who wait: one model at a time, and no longer than anybody needs it."""

import asyncio
import threading
from collections.abc import Mapping
from math import inf
from pathlib import Path

from catalog.spec import ModelSpec
from proxy.adapters import page_cache

READ_AGAIN_S = 10.0
"""Many may come to wait for an engine at once; its weights stay in the page cache for so long at least."""


class Reading:
    """The weights of `specs`."""

    def __init__(self, specs: Mapping[str, ModelSpec]) -> None:
        self._specs = specs
        self._read_at: dict[str, float] = {}
        self._under_way: dict[str, threading.Event] = {}
        """Set where it is not needed any more."""
        self._disk = asyncio.Lock()
        """Two that read at once are slower than one after the other, and many would take all threads."""

    def __repr__(self) -> str:
        return f"<Reading {', '.join(self._under_way)}>"

    async def read(self, model: str) -> None:
        """Have the weights of `model` read, but if that is under way, or was done just now.

        The thread that reads ends soon after this is cancelled.
        """
        now = asyncio.get_running_loop().time()
        if model in self._under_way or now < self._read_at.get(model, -inf) + READ_AGAIN_S:
            return
        over = self._under_way[model] = threading.Event()
        try:
            async with self._disk:
                if not over.is_set():
                    await asyncio.to_thread(page_cache.read_ahead, Path(self._specs[model].weights), over)
                    self._read_at[model] = asyncio.get_running_loop().time()
        finally:
            over.set()
            if self._under_way.get(model) is over:
                del self._under_way[model]

    def drop(self, model: str) -> None:
        """The start that it was for is over."""
        if (over := self._under_way.pop(model, None)) is not None:
            over.set()
