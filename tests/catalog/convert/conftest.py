"""What was found in vLLM's environment, once for all the tests that look at a part of it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import PYTHON
from tests.installation import CHECKOUT


@pytest.fixture(scope="session")
def in_vllm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `tests.catalog.convert.in_vllm` prints; it takes about 15 seconds."""
    argv = [PYTHON, "-W", "ignore", "-m", "tests.catalog.convert.in_vllm", Path(tmp_path_factory.mktemp("v"))]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
