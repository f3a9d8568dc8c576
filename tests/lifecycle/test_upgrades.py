"""Where vLLM was installed anew under a process that has imported the one before."""

import os
from pathlib import Path

import pytest

from proxy.core.messages import VllmChanged
from proxy.lifecycle.upgrades import Upgrades


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    made = tmp_path / "bin" / "vllm"
    made.parent.mkdir()
    made.touch()
    for name in ("vllm-0.32.0", "torch-2.13.0", "other-1"):
        (tmp_path / "lib" / "python3.12" / "site-packages" / f"{name}.dist-info").mkdir(parents=True)
    return made


@pytest.mark.parametrize(
    ("changed", "is_news"),
    [
        ("bin/vllm", True),
        ("lib/python3.12/site-packages/vllm-0.32.0.dist-info", True),
        ("lib/python3.12/site-packages/torch-2.13.0.dist-info", True),
        ("lib/python3.12/site-packages/other-1.dist-info", False),
        ("lib/python3.12/site-packages", False),
    ],
)
async def test_only_what_it_imports_counts(executable: Path, changed: str, is_news: bool) -> None:
    upgrades = Upgrades()
    await upgrades.note("a", str(executable))
    assert await upgrades.look(["a"]) == []
    os.utime(executable.parents[1] / changed, (1, 1))
    assert await upgrades.look(["a"]) == ([VllmChanged("a")] if is_news else [])
    assert await upgrades.look([]) == [], "it is not parked"
    await upgrades.note("a", str(executable))
    assert await upgrades.look(["a"]) == []


async def test_another_version_is_seen_though_the_executable_stays(executable: Path) -> None:
    upgrades = Upgrades()
    await upgrades.note("a", str(executable))
    packages = executable.parents[1] / "lib" / "python3.12" / "site-packages"
    (packages / "vllm-0.32.0.dist-info").rename(packages / "vllm-0.33.0.dist-info")
    assert await upgrades.look(["a"]) == [VllmChanged("a")]


async def test_who_imports_nothing_is_not_looked_at(executable: Path) -> None:
    upgrades = Upgrades()
    await upgrades.note("a", str(executable))
    await upgrades.note("a", None)
    os.utime(executable, (1, 1))
    assert await upgrades.look(["a", "never seen"]) == []
