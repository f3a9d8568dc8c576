"""The hashes of the weights that engines serve: taken in the background, one model at a time, again where files change.

Rule: nobody waits for one. Until it is taken, lines of the audit have none; when it is, a line says so. Where nothing
can be read, it is not each request that has it looked for again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from catalog.spec import ModelSpec
from proxy.adapters.state_files import StateFile
from proxy.adapters.weights import Stamp, hash_of, stamp_of
from proxy.audit import Audit
from proxy.core.audit_records import PROXY

log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""After so long it is looked for again where nothing could be read."""


class Taken(msgspec.Struct):
    """A hash, and what the files were like when it was taken."""

    stamp: Stamp
    hash: str


class Weights:
    """Of the models in `specs`; paths are relative to `root`. `kept` are those of lives before, by path."""

    def __init__(
        self, specs: Mapping[str, ModelSpec], root: Path, kept: StateFile[dict[str, Taken]], audit: Audit
    ) -> None:
        self._specs = specs
        self._root = root
        self._kept_file = kept
        self._kept = kept.read()
        self._audit = audit
        self._asked: dict[str, None] = {}
        self._is_asked = asyncio.Event()
        self._known: dict[str, str] = {}
        """Nothing for those that are being taken, or could not be."""
        self._again_at: dict[str, float] = {}
        """When those that could not be are looked for again."""
        self._starts: Counter[str] = Counter()
        """Of their engines."""
        self._now = asyncio.get_running_loop().time

    def __repr__(self) -> str:
        return f"<Weights of {', '.join(name for name, known in self._known.items() if known) or 'nobody yet'}>"

    def of(self, model: str) -> str:
        """The hash, or nothing yet; then it is taken."""
        if known := self._known.get(model):
            return known
        if known is None or ((again_at := self._again_at.get(model)) is not None and self._now() >= again_at):
            self._ask(model)
        return ""

    def forget(self, model: str) -> None:
        """Its engine starts: the files may be others by now. Where they are not, that is known before it is ready."""
        self._starts[model] += 1
        self._known.pop(model, None)
        if (spec := self._specs.get(model)) is not None and str(self._root / spec.weights) in self._kept:
            self._ask(model)

    def _ask(self, model: str) -> None:
        self._known[model] = ""
        self._again_at.pop(model, None)
        self._asked[model] = None
        self._is_asked.set()

    async def run(self) -> None:
        """Take those that were asked for, until cancelled."""
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            while self._asked:
                await self._take(self._asked.popitem()[0])

    async def _take(self, model: str) -> None:
        if (spec := self._specs.get(model)) is None:
            return
        taken, starts = None, self._starts[model]
        try:
            taken = await asyncio.to_thread(self._taken, self._root / spec.weights)
        except OSError as error:
            log.warning("the weights of %s cannot be hashed: %s", model, error)
        except Exception:  # the others' are taken all the same
            log.exception("the weights of %s cannot be hashed", model)
        if starts != self._starts[model]:
            self._audit.act(PROXY, "does not know the weights that were served until this start", model)
        elif taken is None or not taken.stamp:  # of a repository that vLLM itself fetches there is nothing to read
            self._again_at[model] = self._now() + AGAIN_S
        else:
            self._known[model] = taken.hash
            self._audit.act(PROXY, f"serves the weights {taken.hash} from {spec.weights}", model)

    def _taken(self, path: Path) -> Taken:
        stamp = stamp_of(path)
        if (kept := self._kept.get(str(path))) is not None and kept.stamp == stamp:
            return kept
        taken = Taken(stamp, hash_of(path) if stamp else "")
        self._kept[str(path)] = taken
        self._kept_file.write(self._kept)
        return taken
