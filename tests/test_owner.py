"""Root acts as the owner of the state."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installation import CHECKOUT

NOBODY, NOGROUP, UNNAMED = 65534, 65534, 54321

SCRIPT = """
import os, pathlib, sys
from proxy import owner
owner.become(pathlib.Path(sys.argv[1]))
print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())
"""


ENVIRONMENT = """
import json, os, pathlib, sys
from proxy import owner
owner.become(pathlib.Path(sys.argv[1]))
print(json.dumps(dict(os.environ)))
"""


def became(var: Path, script: str = SCRIPT) -> str:
    argv = [sys.executable, "-c", script, str(var)]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody")
@pytest.mark.parametrize("uid", [NOBODY, UNNAMED])
def test_root_becomes_who_owns_it_for_good_with_no_group_of_its_own(tmp_path: Path, uid: int) -> None:
    os.chown(tmp_path, uid, NOGROUP)
    assert became(tmp_path) == f"{uid} {uid} {NOGROUP} [{NOGROUP}]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody")
def test_the_home_is_the_owners_too_and_nothing_is_kept_in_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOME": "/root", "USER": "root", "LOGNAME": "root", "XDG_CACHE_HOME": "/root/.cache"}.items():
        monkeypatch.setenv(name, value)
    before = json.loads(became(tmp_path, ENVIRONMENT))
    assert (before["HOME"], before["XDG_CACHE_HOME"]) == ("/root", "/root/.cache"), "it is root's own"
    os.chown(tmp_path, NOBODY, NOGROUP)
    entry = pwd.getpwuid(NOBODY)
    named = json.loads(became(tmp_path, ENVIRONMENT))
    assert [named[one] for one in ("HOME", "USER", "LOGNAME")] == [entry.pw_dir, entry.pw_name, entry.pw_name]
    assert "XDG_CACHE_HOME" not in named
    os.chown(tmp_path, UNNAMED, NOGROUP)
    unnamed = json.loads(became(tmp_path, ENVIRONMENT))
    assert unnamed["HOME"] == str(tmp_path)
    assert not {"USER", "LOGNAME", "XDG_CACHE_HOME"} & set(unnamed)


def test_nobody_else_becomes_anybody_and_what_is_its_own_stays_so(tmp_path: Path) -> None:
    before = f"{os.getuid()} {os.geteuid()} {os.getgid()} {os.getgroups()}"
    assert became(tmp_path) == before
    assert became(tmp_path / "nothing there") == before
