import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lifecycle.stage import Stage, engine_group


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.watch.close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with engine_group(tmp_path) as leader:
        yield leader
