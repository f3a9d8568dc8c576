"""`python -m proxy` by itself: what it refuses to start with."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installation import Installation, fake_model


def run(installation: Installation, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy"],
        env={**installation.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path, [fake_model("a")], {"Chat": "a"}, 4.5)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"ROTA_LISTEN_PORT": "0"}, "ROTA_LISTEN_PORT: Expected `int` >= 1; it is '0'"),
        ({"ROTA_CATALOG": "nowhere"}, "there is no such folder"),
        ({}, "no answer from supervisord"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_a_trace(
    installation: Installation, environ: dict[str, str], says: str
) -> None:
    done = run(installation, **environ)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_proxy_names_the_first(installation: Installation) -> None:
    lock = installation.root / "var" / "run" / "proxy.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        first.write(str(os.getpid()))
        first.flush()
        done = run(installation)
    assert done.returncode == 1
    assert f"another proxy, pid {os.getpid()}, runs in {installation.root}" in done.stderr


def test_a_lock_left_by_a_dead_proxy_is_no_hindrance(installation: Installation) -> None:
    lock = installation.root / "var" / "run" / "proxy.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("1")
    done = run(installation)
    assert "another proxy" not in done.stderr
    assert lock.read_text() != "1"
