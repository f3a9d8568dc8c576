"""Rota as a whole: renders the programs, starts supervisord, ends it. What `make run` and `make stop` do.

Rule: what runs already is not started again and not disturbed, and after a stop no process of this folder is left.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import httpx

from catalog import render
from catalog.spec import Catalog
from proxy.adapters import logs, processes, programs
from proxy.adapters.supervisord import Supervisord, SupervisorError
from proxy.prechecks import DaemonError as DaemonError, check_listen, make_folders
from proxy.settings import Layout, Settings

POLL_S = 0.1
HEALTHY_WITHIN_S = 60.0
END_WITHIN_S = 20.0
CALL_TIMEOUT_S = 900.0
LOG_LINES = 15
REVIVE_AFTER_S = 2.0
UNIT = "ROTA_UNIT"
"""The variable in which a unit of systemd says how systemctl knows it."""
EXIT_CONFIGURATION = 2
"""The exit status of a proxy that cannot run as things are: to try again changes nothing."""
_HOPELESS = f"exit status {EXIT_CONFIGURATION}"


def run(here: Layout, settings: Settings, catalog: Catalog) -> NoReturn:
    """Become supervisord, in the foreground: for who looks after this process himself, as a container does.

    Raises: DaemonError where it runs already, or could not listen.
    """
    if (pid := _proxy_pid(here) or _pid_in(here.run / "supervisord.pid")) is not None:
        raise DaemonError(f"it runs already, pid {pid}")
    make_folders(here)
    check_listen(settings.listen_host, settings.listen_port)
    programs.write(here.programs, catalog.models.values())
    supervisord = here.root / ".venv" / "bin" / "supervisord"
    os.execv(supervisord, [str(supervisord), "-n", "-c", str(here.supervisord_conf)])  # noqa: S606  # our own


def client(here: Layout) -> httpx.Client:
    """A client of the running proxy, over its Unix socket."""
    transport = httpx.HTTPTransport(uds=str(here.gate_socket))
    return httpx.Client(transport=transport, base_url="http://proxy", timeout=CALL_TIMEOUT_S, trust_env=False)


def running_proxy(here: Layout) -> dict[str, Any] | None:
    """What the running proxy says of itself (pid, url, up_s, catalog), or None if none answers."""
    if not here.gate_socket.exists():
        return None
    try:
        with client(here) as proxy:
            told: dict[str, Any] = proxy.get("/health", timeout=5.0).raise_for_status().json()["proxy"]
    except httpx.HTTPError:
        return None
    return told


async def why_silent(here: Layout) -> str:
    """Why the proxy does not answer, as far as supervisord knows, and what to do."""
    try:
        proxy = await Supervisord(here.supervisord_socket).program("proxy")
    except SupervisorError:
        return "the service does not run: bin/manage_vllm.sh start-service"
    told = f"supervisord says that it is {proxy.state}; its log: bin/manage_vllm.sh logs proxy"
    if proxy.is_alive or proxy.state == "BACKOFF":
        return f"it starts, or starts again: wait a moment ({told})"
    return f"bin/manage_vllm.sh start-service starts it ({told})"


async def start(here: Layout, settings: Settings, catalog: Catalog, say: Callable[[str], None]) -> None:
    """Render, start supervisord if it does not run, and wait until the proxy is healthy.

    A supervisord that is started here and whose proxy does not come up is ended again: it would keep the settings.

    Raises: DaemonError.
    """
    make_folders(here)
    supervisord = Supervisord(here.supervisord_socket)
    left = _proxy_pid(here) if _pid_in(here.run / "supervisord.pid") is None else None
    # A proxy whose supervisord was killed starts another, and ends.
    if left is not None and not _gone([left], within_s=END_WITHIN_S):
        raise DaemonError(f"a proxy, pid {left}, runs without its supervisord: bin/manage_vllm.sh stop-service first")
    began_at = logs.size(here.log_of("proxy"))
    runs = await _running_in(supervisord)
    if runs is not None and not runs:
        say("supervisord runs, but none of its programs: it is started anew, with the settings of now")
        await stop(here, say)
    if runs:
        pid = await supervisord.pid()
        say(f"supervisord runs already, pid {pid}; changes of settings need restart-service, of the catalog reload")
        if "proxy" not in runs:
            await supervisord.start("proxy")
    else:
        check_listen(settings.listen_host, settings.listen_port)
        programs.write(here.programs, catalog.models.values())
        say("starting supervisord")
        try:
            _call([here.root / ".venv" / "bin" / "supervisord", "-c", here.supervisord_conf])
        except DaemonError:
            # A proxy whose supervisord was killed may have started one in the same moment.
            if not await _answers_within(supervisord, REVIVE_AFTER_S):
                raise
            say("another supervisord was there first")
    try:
        proxy = await wait_healthy(here, supervisord, began_at)
    except DaemonError:
        if not runs:
            await stop(here, say)
        raise
    if (served := proxy["catalog"]) != str(catalog.folder):
        raise DaemonError(
            f"the proxy runs with the catalog {served}, not {catalog.folder}: bin/manage_vllm.sh stop-service first"
        )


def check_not_of_systemd(here: Layout, act: str) -> None:
    """What systemd has started it also ends, or it would start it again, or lose it. Raises: DaemonError."""
    pid = _pid_in(here.run / "supervisord.pid")
    if pid is not None and (unit := processes.environment(pid).get(UNIT)):
        raise DaemonError(f"systemd has started it, and is to {act} it: systemctl {act} {unit}")


async def stop(here: Layout, say: Callable[[str], None]) -> None:
    """End supervisord with all its programs, then whatever outlived it. Raises: DaemonError."""
    supervisord = Supervisord(here.supervisord_socket)
    try:
        pid = await supervisord.pid()
        running = sum(program.pid is not None for program in (await supervisord.programs()).values())
        say(f"stopping supervisord, pid {pid}, with {running} programs")
        await supervisord.shut_down()
    except SupervisorError as error:
        if (alive := _pid_in(here.run / "supervisord.pid")) is not None:
            raise DaemonError(f"supervisord, pid {alive}, runs and does not answer: {error}") from error
        say("supervisord does not run")
    else:
        if not _gone([pid], within_s=render.STOP_WAIT_S * (running + 1)):
            raise DaemonError(f"supervisord, pid {pid}, has not ended; its log: {here.logs / 'supervisord.log'}")
    if (proxy := _proxy_pid(here)) is not None:
        say(f"ending the proxy, pid {proxy}, which outlived its supervisord")
        _end([proxy], signal.SIGTERM)
    left = [process.pid for process in processes.of_installation(here.gate_socket)]
    if left:
        say(f"ending what engines left behind: {', '.join(map(str, left))}")
        _end(left, signal.SIGKILL)
    shutil.rmtree(here.scratch, ignore_errors=True)  # what engines that were killed had of clients' files


async def revive(here: Layout) -> None:
    """After supervisord was killed: start another, unless somebody else (systemd, a person) does so first."""
    supervisord = Supervisord(here.supervisord_socket)
    if await _answers_within(supervisord, REVIVE_AFTER_S):
        return
    argv: list[str | Path] = [here.root / ".venv" / "bin" / "supervisord", "-c", here.supervisord_conf]
    nowhere = subprocess.DEVNULL  # what this process had, supervisord's pipe, is broken
    subprocess.run(argv, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False)  # noqa: S603, ASYNC221


async def _answers_within(supervisord: Supervisord, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(SupervisorError):
            await supervisord.pid()
            return True
        await asyncio.sleep(POLL_S)
    return False


async def _running_in(supervisord: Supervisord) -> set[str] | None:
    """The programs that have a process, or None if supervisord does not answer."""
    try:
        return {name for name, program in (await supervisord.programs()).items() if program.pid is not None}
    except SupervisorError:
        return None


async def wait_healthy(here: Layout, supervisord: Supervisord, began_at: int) -> dict[str, Any]:
    """What the proxy says of itself, once it does.

    Raises: DaemonError, with the end of what the proxy has logged since its log held `began_at` bytes.
    """
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while (told := running_proxy(here)) is None:
        state, is_hopeless = "not reachable", False
        with contextlib.suppress(SupervisorError):
            state = (await supervisord.program("proxy")).state
            is_hopeless = state == "BACKOFF" and logs.last_exit(here.log_of("supervisord"), "proxy") == _HOPELESS
        if state in ("FATAL", "EXITED", "STOPPED") or is_hopeless or time.monotonic() > deadline:
            last_lines = logs.tail(here.log_of("proxy"), LOG_LINES, began_at)
            raise DaemonError(f"the proxy is {state}, not healthy. The last lines of its log:\n{last_lines}")
        time.sleep(POLL_S)  # noqa: ASYNC251  # a command line waits for one thing only
    return told


def _end(pids: list[int], number: signal.Signals) -> None:
    """Signal processes of ours and wait for their end. Raises: DaemonError."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    if not _gone(pids, within_s=END_WITHIN_S):
        raise DaemonError(f"still there {END_WITHIN_S:.0f} s after {number.name}: {', '.join(map(str, pids))}")


def _gone(pids: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(processes.exists(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _proxy_pid(here: Layout) -> int | None:
    """The pid of the proxy that holds this folder's lock, or None."""
    with contextlib.suppress(FileNotFoundError), here.lock.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


def _pid_in(path: Path) -> int | None:
    """The pid in a pid file, if its process runs; a number that was given again is another's, or this one's own."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(path.read_text())
        if pid != os.getpid() and processes.exists(pid) and "supervisord" in processes.title(pid):
            return pid
    return None


def _call(argv: list[str | Path]) -> None:
    """Raises: DaemonError, with what the command printed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603  # our own environment's
    if done.returncode != 0:
        raise DaemonError(f"{argv[0]} failed: {(done.stdout + done.stderr).strip()}")
