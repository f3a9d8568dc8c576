"""supervisord's program files, one a model, and which of them it knows.

Rule: the files are those of the catalog, no more and no fewer; a model that has left it keeps its own until its engine
is gone. supervisord is told of what is new and what is gone, and touches no other program.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from catalog import render
from catalog.spec import ModelSpec
from proxy.adapters.supervisord import Program, SupervisorError

log = logging.getLogger(__name__)

_PREFIX = "engine-"
RETRY_S = 0.5
TRIES = 60


class Knows(Protocol):
    """Who runs the programs."""

    async def programs(self) -> dict[str, Program]:
        """All of them by name. Raises: SupervisorError, like the others."""

    async def add(self, names: Sequence[str]) -> None:
        """Know these, too."""

    async def remove(self, name: str) -> None:
        """Forget one that has no process."""


class Programs:
    """The programs in `folder`; `models` are those of the catalog."""

    def __init__(self, folder: Path, supervisor: Knows, models: Collection[str]) -> None:
        self._folder = folder
        self._supervisor = supervisor
        self._wanted = set(models)
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Programs {', '.join(sorted(self._wanted))}>"

    async def use(self, specs: Iterable[ModelSpec]) -> None:
        """Have supervisord know these models' programs; what it knows of others goes with their engines.

        Raises: SupervisorError, OSError; then nothing has changed but that supervisord may know more than it need.
        """
        async with self._one_at_a_time:
            models = {spec.name: spec for spec in specs}
            known = await self._supervisor.programs()
            missing = [name for name in models if name not in known]
            for name in missing:
                _write_one(self._folder, models[name])
            if missing:
                await self._supervisor.add(missing)
            self._wanted = set(models)

    async def remove(self, model: str) -> None:
        """`model` has left the catalog, and its engine is gone; not, if it has come back meanwhile.

        A process that was sent away at the gate may take a moment to end: supervisord forgets it after that.
        """
        for tries_left in reversed(range(TRIES)):
            async with self._one_at_a_time:
                if model in self._wanted:
                    return
                try:
                    await self._supervisor.remove(model)
                except SupervisorError as error:
                    if not tries_left:
                        log.warning("%s: supervisord keeps its program: %s", model, error)
                else:
                    self._unlink(model)
                    return
            await asyncio.sleep(RETRY_S)

    def _unlink(self, model: str) -> None:
        try:
            _path(self._folder, model).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: its program file stays: %s", model, error)

    async def remove_strangers(self) -> None:
        """Have supervisord forget what the catalog has not any more; to be called when left-over engines have ended."""
        for name in names(self._folder):
            await self.remove(name)


def names(folder: Path) -> list[str]:
    """The models for which `folder` has program files now."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*.conf"))


def write(folder: Path, specs: Iterable[ModelSpec]) -> list[Path]:
    """Make the program files be those of `specs`, no more and no fewer. Returns the files."""
    wanted = {_path(folder, spec.name): spec for spec in specs}
    for path in folder.glob(f"{_PREFIX}*.conf"):
        if path not in wanted:
            path.unlink()
    for spec in wanted.values():
        _write_one(folder, spec)
    return sorted(wanted)


def _write_one(folder: Path, spec: ModelSpec) -> None:
    path, text = _path(folder, spec.name), render.program_text(spec)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _path(folder: Path, model: str) -> Path:
    return folder / f"{_PREFIX}{model}.conf"
