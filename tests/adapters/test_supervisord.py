"""The adapter against the real supervisord."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.supervisord import Program, Supervisord, SupervisorError
from tests.installation import CHECKOUT, eventually

CONF = """
[supervisord]
nodaemon=true
directory={root}
logfile={root}/supervisord.log
pidfile={root}/supervisord.pid
[unix_http_server]
file={root}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command={python} -c "import time; time.sleep(600)"
autostart=false
autorestart=false
startsecs=0
startretries=0
[program:failing]
command={python} -c "raise SystemExit(7)"
autostart=false
autorestart=false
startsecs=0
startretries=0
"""


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    root = Path(tmp_path_factory.mktemp("s"))
    (root / "s.conf").write_text(CONF.format(root=root, python=sys.executable))
    argv = [CHECKOUT / ".venv/bin/supervisord", "-c", root / "s.conf"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        eventually((root / "s.sock").exists)
        yield Supervisord(root / "s.sock")
        process.terminate()


async def test_a_program_is_started_seen_and_stopped(supervisord: Supervisord) -> None:
    assert not (await supervisord.program("sleeper")).is_alive
    await supervisord.start("sleeper")
    program = await supervisord.program("sleeper")
    assert program.is_alive
    assert program.pid is not None
    pid = program.pid
    eventually(lambda: os.getpgid(pid) == pid)  # each program leads a process group of its own, when it has made it
    await supervisord.stop("sleeper")
    assert (await _gone(supervisord, "sleeper")).was_stopped_by_hand


async def test_a_program_that_ends_by_itself_is_told_from_one_that_was_stopped(supervisord: Supervisord) -> None:
    await supervisord.start("failing")
    program = await _gone(supervisord, "failing")
    assert (program.state, program.exit_status, program.was_stopped_by_hand) == ("EXITED", 7, False)


async def test_stopping_what_does_not_run_is_done_already(supervisord: Supervisord) -> None:
    await supervisord.stop("failing")


async def test_starting_what_a_person_has_just_started_is_done_already(supervisord: Supervisord) -> None:
    await supervisord.start("sleeper")
    await supervisord.start("sleeper")
    assert (await supervisord.program("sleeper")).is_alive


async def test_an_unknown_program_is_an_error_in_words(supervisord: Supervisord) -> None:
    for call in (supervisord.program, supervisord.start, supervisord.stop):
        with pytest.raises(SupervisorError, match="BAD_NAME"):
            await call("nobody")


async def test_all_programs_come_by_name(supervisord: Supervisord) -> None:
    assert set(await supervisord.programs()) == {"sleeper", "failing"}


async def test_no_supervisord_is_an_error_that_names_its_socket(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match=str(tmp_path / "none.sock")):
        await Supervisord(tmp_path / "none.sock").pid()


async def test_supervisord_tells_its_pid_and_shuts_down(supervisord: Supervisord) -> None:
    pid = await supervisord.pid()
    os.kill(pid, 0)
    await supervisord.shut_down()


async def _gone(supervisord: Supervisord, name: str) -> Program:
    for _ in range(1000):
        if (program := await supervisord.program(name)).pid is None:
            return program
        await asyncio.sleep(0.01)  # supervisord looks for ended children once a second
    raise AssertionError(f"{name} does not end")
