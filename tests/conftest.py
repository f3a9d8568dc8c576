"""What several folders of tests share: whole installations of fakes, and the tiny checkpoints of the five models."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

from tests.checkpoints import Five, lay_out
from tests.installation import Installation, fake_model, running

settings.register_profile("shared", deadline=None)  # how long something takes says nothing on a shared machine
settings.load_profile("shared")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    models = [fake_model("a"), fake_model("b"), fake_model("broken", env={"FAKE_FAIL": "start"})]
    root = Path(tmp_path_factory.mktemp("c"))
    with running(Installation(root, models, {"Chat": "a"}, 4.5)) as installation:
        yield installation


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(Path(tmp_path_factory.mktemp("i")), [fake_model("a")], {"Chat": "a"}, 4.5)


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Five:
    return lay_out(Path(tmp_path_factory.mktemp("five")))
