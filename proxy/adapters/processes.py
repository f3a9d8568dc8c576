"""Processes of this machine, by psutil: the group that an engine runs in, its memory, its end, who holds a port.

Rule: only processes that carry the engine's launch mark are ever signalled, so that a recycled number is no danger.
"""

import contextlib
import os
import signal
import socket
from pathlib import Path

import psutil

LAUNCH_MARK = "ROTA_ENGINE"
"""The variable in the environment of an engine's program that names its model; its children inherit it."""

GATE_MARK = "ROTA_GATE"
"""Likewise, for the gate's socket: it tells one installation's engines from another's."""


def members(group: int, model: str) -> list[int]:
    """The pids that are alive in the process group `group` and carry `model`'s mark; zombies hold no memory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if (
                os.getpgid(process.pid) == group
                and process.status() != psutil.STATUS_ZOMBIE
                and _is_marked(process, model)
            ):
                found.append(process.pid)
    return found


def end_group(group: int, model: str) -> list[int]:
    """Send SIGKILL to what is left of an engine's group, also when its leader is gone. Returns the pids it met."""
    left = members(group, model)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def resident_bytes(pids: list[int]) -> int:
    """The host memory of these processes, shared pages divided among their users (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return total


def is_waiting_at_gate(pid: int) -> bool:
    """Whether the process is still `bin/engine`, and has not become vLLM."""
    with contextlib.suppress(psutil.Error):
        return any(argument.endswith("bin/engine") for argument in psutil.Process(pid).cmdline())
    return False


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


def _is_marked(process: psutil.Process, model: str) -> bool:
    return process.environ().get(LAUNCH_MARK) == model


def of_installation(gate_socket: Path) -> list[int]:
    """The pids of all processes that were started as engines of this gate, whatever became of their parents."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            gate = process.environ().get(GATE_MARK)
            if gate and os.path.realpath(gate) == str(gate_socket) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only its parent has not noticed."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return False
