"""Processes of this machine, by psutil: the group that an engine runs in, its memory, its end, who holds a port.

Rule: only processes that carry the engine's launch mark are ever signalled, so that a recycled number is no danger.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from proxy.adapters import cgroup

LAUNCH_MARK = "ROTA_ENGINE"
"""The variable in the environment of an engine's program that names its model; its children inherit it."""

GATE_MARK = "ROTA_GATE"
"""Likewise, for the gate's socket: it tells one installation's engines from another's."""


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A live process that carries the launch marks: its pid, its process group, its model and its gate's socket."""

    pid: int
    group: int
    model: str
    gate: str


def engine_processes() -> list[EngineProcess]:
    """All processes of engines on this machine, in one look; zombies hold no memory and are left out."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            marks = process.environ()
            if LAUNCH_MARK in marks and process.status() != psutil.STATUS_ZOMBIE:
                gate = os.path.realpath(marks.get(GATE_MARK, ""))
                found.append(EngineProcess(process.pid, os.getpgid(process.pid), marks[LAUNCH_MARK], gate))
    return found


def members(group: int, model: str) -> list[int]:
    """The pids that are alive in the process group `group` and carry `model`'s mark."""
    return [one.pid for one in engine_processes() if (one.group, one.model) == (group, model)]


def end_group(group: int, model: str, *, spares_trackers: bool = False) -> list[int]:
    """Send SIGKILL to what is left of an engine's group, also when its leader is gone. Returns the pids it met.

    `spares_trackers`: Python's resource tracker among them ends by itself when all others have, and removes what they
    had of shared memory and semaphores, which nobody else would.
    """
    left = members(group, model)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            if not (spares_trackers and _is_tracker(pid)):
                os.kill(pid, signal.SIGKILL)
    return left


def _is_tracker(pid: int) -> bool:
    """Whether this is Python's `multiprocessing.resource_tracker`."""
    try:
        return any("multiprocessing.resource_tracker" in one for one in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def resident_bytes(pids: list[int]) -> int:
    """The host memory of these processes, shared pages divided among their users (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return total


def host_available_bytes() -> int:
    """The host memory that processes could take now without swapping, in this container if it is one."""
    of_host, of_group = int(psutil.virtual_memory().available), cgroup.available_bytes()
    return of_host if of_group is None else min(of_host, of_group)


def host_total_bytes() -> int:
    """All memory of the host, or of this container if it may have less."""
    of_host, of_group = int(psutil.virtual_memory().total), cgroup.limit_bytes()
    return of_host if of_group is None else min(of_host, of_group)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory: on the machine, or in this container.

    Source: proc(5), /proc/vmstat oom_kill; the kernel's cgroup-v2.rst, memory.events.
    """
    counted = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, number = line.partition(" ")
                counted += int(number) if name == "oom_kill" else 0
    return counted


def is_waiting_at_gate(pid: int) -> bool:
    """Whether the process is still `bin/engine`, and has not become vLLM."""
    with contextlib.suppress(psutil.Error):
        return any(argument.endswith("bin/engine") for argument in psutil.Process(pid).cmdline())
    return False


def on_end(pid: int, tell: Callable[[], None]) -> Callable[[], None]:
    """Have the event loop call `tell` once as soon as the process ends, by its pidfd: no child of ours need it be.

    Returns what ends the watch. A process that is gone already is told of soon.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return loop.call_soon(tell).cancel

    def ended() -> None:
        close()
        tell()

    is_open = True

    def close() -> None:
        nonlocal is_open
        if is_open:
            is_open = False
            loop.remove_reader(descriptor)
            os.close(descriptor)

    loop.add_reader(descriptor, ended)
    return close


def created_at(pid: int) -> int:
    """When the process was created, in clock ticks since the boot: with the pid it names one process; 0 if it is gone.

    Not in seconds since 1970, which a step of the clock would change (proc(5), /proc/pid/stat, starttime).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def title(pid: int) -> str:
    """What the process calls itself: its whole command line; empty if it cannot be seen."""
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def environment(pid: int) -> dict[str, str]:
    """The environment that the process was started with; empty if it cannot be seen."""
    with contextlib.suppress(psutil.Error):
        return dict(psutil.Process(pid).environ())
    return {}


def port_holder(port: int) -> str | None:
    """Who listens on this loopback port, in words, or None if it is free to bind."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _listener(port)
    return None


def _listener(port: int) -> str:
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.pid is None or not connection.laddr:
            continue
        if connection.laddr.port == port:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(connection.pid)
                return f"pid {process.pid} ({' '.join(process.cmdline()[:3])})"
    return "another process"


def of_installation(gate_socket: Path) -> list[EngineProcess]:
    """The processes that were started as engines of this gate, whatever became of their parents."""
    gate = os.path.realpath(gate_socket)
    return [one for one in engine_processes() if one.gate == gate]


def exists(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return psutil.pid_exists(pid) and not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only its parent has not noticed."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return False
