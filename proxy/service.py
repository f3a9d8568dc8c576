"""The service as a whole: renders the programs, starts supervisord and ends it. What `make run` and `make stop` do.

Rule: what is running already is not started again, and after a stop no process of this installation is left.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from catalog import render
from catalog.spec import Catalog
from proxy.adapters import logs, processes
from proxy.adapters.supervisord import Supervisord, SupervisorError
from proxy.settings import Layout

POLL_S = 0.1
HEALTHY_WITHIN_S = 60.0
CALL_TIMEOUT_S = 900.0
LOG_LINES = 15


class ServiceError(Exception):
    """The service could not be started, reached or stopped; the message says what to do."""


def client(here: Layout) -> httpx.Client:
    """A client of the running proxy, over its Unix socket."""
    transport = httpx.HTTPTransport(uds=str(here.gate_socket))
    return httpx.Client(transport=transport, base_url="http://proxy", timeout=CALL_TIMEOUT_S, trust_env=False)


def write_programs(here: Layout, catalog: Catalog) -> list[Path]:
    """Make supervisord's program files be those of `catalog`, no more and no fewer. Returns the files."""
    wanted = {here.programs / f"engine-{name}.conf": render.program_text(spec) for name, spec in catalog.models.items()}
    for path in here.programs.glob("engine-*.conf"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return sorted(wanted)


async def start(here: Layout, catalog: Catalog, say: Callable[[str], None]) -> None:
    """Render, start supervisord if it does not run, and wait until the proxy is healthy. Raises: ServiceError."""
    for folder in (here.run, here.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_programs(here, catalog)
    supervisord = Supervisord(here.supervisord_socket)
    bin_folder = here.root / ".venv" / "bin"
    try:
        pid = await supervisord.pid()
    except SupervisorError:
        say("starting supervisord")
        _call([bin_folder / "supervisord", "-c", here.supervisord_conf])
    else:
        say(f"supervisord runs already, pid {pid}; changes of catalog or settings need restart-service")
        _call([bin_folder / "supervisorctl", "-c", here.supervisord_conf, "update"])
        if not (await supervisord.program("proxy")).is_alive:
            await supervisord.start("proxy")
    await _wait_healthy(here, supervisord)
    with client(here) as proxy:
        served = proxy.get("/status").json()["proxy"]["catalog"]
    if served != str(catalog.folder):
        raise ServiceError(f"the service runs with the catalog {served}, not {catalog.folder}: make stop first")


async def stop(here: Layout, say: Callable[[str], None]) -> None:
    """End supervisord with all its programs, then whatever engine outlived it. Raises: ServiceError."""
    supervisord = Supervisord(here.supervisord_socket)
    try:
        pid = await supervisord.pid()
        running = sum(program.pid is not None for program in (await supervisord.programs()).values())
        say(f"stopping supervisord, pid {pid}, with {running} programs")
        await supervisord.shut_down()
    except SupervisorError:
        say("supervisord does not run")
    else:
        deadline = time.monotonic() + render.STOP_WAIT_S * (running + 1)
        while _exists(pid):
            if time.monotonic() > deadline:
                raise ServiceError(f"supervisord, pid {pid}, has not ended; its log: {here.logs / 'supervisord.log'}")
            time.sleep(POLL_S)  # noqa: ASYNC251  # a command line waits for one thing only
    for pid in processes.of_installation(here.gate_socket):
        say(f"ending pid {pid}, which an engine left behind")
        os.kill(pid, signal.SIGKILL)


async def _wait_healthy(here: Layout, supervisord: Supervisord) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    with client(here) as proxy:
        while True:
            try:
                proxy.get("/health", timeout=1.0).raise_for_status()
            except httpx.HTTPError:
                pass
            else:
                return
            state = await _state_of_proxy(supervisord)
            if state in ("FATAL", "EXITED", "STOPPED") or time.monotonic() > deadline:
                last_lines = logs.tail(here.log_of("proxy"), LOG_LINES)
                raise ServiceError(f"the proxy is {state}, not healthy. The last lines of its log:\n{last_lines}")
            time.sleep(POLL_S)  # noqa: ASYNC251  # a command line waits for one thing only


async def _state_of_proxy(supervisord: Supervisord) -> str:
    try:
        return (await supervisord.program("proxy")).state
    except SupervisorError:
        return "not reachable"


def _call(argv: list[str | Path]) -> None:
    """Raises: ServiceError, with what the command printed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603  # our own environment's
    if done.returncode != 0:
        raise ServiceError(f"{argv[0]} failed: {(done.stdout + done.stderr).strip()}")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not processes.is_zombie(pid)
