"""Ends an engine's processes, all of them and only its own: by supervisord first, then whoever is left of the group."""

import asyncio
import logging
import time
from typing import Protocol

from proxy.adapters import processes
from proxy.adapters.supervisord import NoSuchProgram, Program, SupervisorError

log = logging.getLogger(__name__)

STOP_POLL_S = 0.05
WARN_EVERY_S = 10.0
CLEAN_UP_S = 2.0
"""So long the process that removes shared memory has for that, once it is the last."""


class Stopper(Protocol):
    """Who can end a program."""

    async def program(self, name: str) -> Program:
        """One program. Raises: SupervisorError."""

    async def stop(self, name: str) -> None:
        """Ask its process to end. Raises: SupervisorError."""


async def end_program(supervisor: Stopper, model: str, group: int | None) -> int | None:
    """Have supervisord end the process `group`, or the one it runs now; a newer one at the gate is left alone.

    Returns the process group that is now without its leader, or None if there was no process at all.
    """
    warn_at = _now()
    has_asked = False
    while True:
        try:
            program = await supervisor.program(model)
            group = group or program.pid
            if program.pid is None or program.pid != group:
                return group
            if program.is_alive and not has_asked:
                await supervisor.stop(model)
                has_asked = True
        except NoSuchProgram:
            return group
        except SupervisorError as error:
            if _now() >= warn_at:
                log.warning("%s: cannot be stopped yet: %s", model, error)
                warn_at = _now() + WARN_EVERY_S
        await asyncio.sleep(STOP_POLL_S)


async def end_group(model: str, group: int) -> None:
    """See the whole group gone, also where its leader died first."""
    warn_at = _now() + WARN_EVERY_S
    cleaned_at = _now() + CLEAN_UP_S
    while left := await asyncio.to_thread(processes.end_group, group, model, spares_trackers=_now() < cleaned_at):
        if _now() > warn_at:
            log.warning("%s: still not gone: %s", model, left)
            warn_at += WARN_EVERY_S
        await asyncio.sleep(STOP_POLL_S)


def _now() -> float:
    return time.monotonic()
