"""Root acts as the owner of the state."""

import os
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


def became(var: Path) -> str:
    argv = [sys.executable, "-c", SCRIPT, str(var)]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody")
@pytest.mark.parametrize("uid", [NOBODY, UNNAMED])
def test_root_becomes_who_owns_it_for_good_with_no_group_of_its_own(tmp_path: Path, uid: int) -> None:
    os.chown(tmp_path, uid, NOGROUP)
    assert became(tmp_path) == f"{uid} {uid} {NOGROUP} [{NOGROUP}]"


def test_nobody_else_becomes_anybody_and_what_is_its_own_stays_so(tmp_path: Path) -> None:
    before = f"{os.getuid()} {os.geteuid()} {os.getgid()} {os.getgroups()}"
    assert became(tmp_path) == before
    assert became(tmp_path / "nothing there") == before
