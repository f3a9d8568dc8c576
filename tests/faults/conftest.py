"""One house for all faults of a kind, built anew after one that it did not survive."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.adapters import logs
from tests.e2e.conftest import reals
from tests.faults.house import House
from tests.faults.injections import LARGE
from tests.installation import REAL_VLLM, Installation, fake_model

LIMITS = {"hang_timeout_s": 2, "sleep_timeout_s": 3, "settle_timeout_s": 2, "blocked_s": 2, "queue_timeout_s": 40}
_numbers = itertools.count(1)
_outcome = pytest.StashKey[bool]()


def fake_house(root: Path) -> House:
    """Two GPUs: `medical` can sleep and shares the large one with nobody, `claims` cannot sleep, `chat` is light."""
    fixed = {"start_timeout_s": 6}
    models = [
        fake_model("medical", 12, **fixed),
        fake_model("claims", 14, sleep_levels=[], **fixed),
        fake_model("chat", 6, **fixed),
        fake_model("evidence", 2, embedder=True, **fixed),
    ]
    agents: dict[str, Any] = {
        "Main": {"model": "medical", "fallback": "chat"},
        "Claims": "claims",
        "Chat": "chat",
        "Evidence": "evidence",
    }
    installation = Installation(
        root, models, agents, gpus={LARGE: 24.0, "GPU-small": 12.0}, sleep_host_gib=40, **LIMITS
    )
    return House(installation, main="medical", other="claims", start_takes_s=20)


def real_house(root: Path) -> House:
    """Real vLLM on the CPU, where a sleep changes the state and frees nothing."""
    models = [model for model in reals() if model["name"] in ("medical", "claims")]
    limits = {"hang_timeout_s": 15, "sleep_timeout_s": 60}
    installation = Installation(root, models, {"Main": "medical", "Claims": "claims"}, 4.5, **limits)
    return House(installation, main="medical", other="claims", start_takes_s=240)


def parked_house(root: Path) -> House:
    """`chat` is real vLLM, parked ahead, its script a copy, to be changed; `claims`, a fake, needs its room."""
    script = root / "vllm"
    shutil.copy(REAL_VLLM, script)
    [chat] = [model | {"vllm": str(script)} for model in reals() if model["name"] == "chat"]
    models = [chat, fake_model("claims", 4, sleep_levels=[])]
    agents = {"Main": "chat", "Claims": "claims"}
    installation = Installation(root, models, agents, 4.5, park=True, fork=True)
    installation.fake("machine", FAKE_CLOCK=str(root))
    return House(installation, main="chat", other="claims", start_takes_s=240)


FACTORIES = {"fake": fake_house, "real": real_house, "parked": parked_house}


class Houses:
    """The house that stands now, of each kind."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._standing: dict[str, House] = {}

    def get(self, kind: str) -> House:
        if kind not in self._standing:
            root = self._factory.mktemp(f"h{next(_numbers)}")
            house = FACTORIES[kind](root)
            house.of.start()
            self._standing[kind] = house
        house = self._standing[kind]
        house.asked, house.noticed_s = [], None
        return house

    def pull_down(self, kind: str) -> None:
        if (house := self._standing.pop(kind, None)) is not None:
            house.of.stop()


@pytest.fixture(scope="package")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    standing = Houses(tmp_path_factory)
    yield standing
    for kind in FACTORIES:
        standing.pull_down(kind)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[_outcome] = report.passed
    return report


@pytest.fixture
def house(request: pytest.FixtureRequest, houses: Houses) -> Iterator[House]:
    """The house for one fault."""
    kind = request.node.get_closest_marker("house").args[0]
    house = houses.get(kind)
    yield house
    for model in (house.main, house.other):
        house.of.control(model)
    if not request.node.stash.get(_outcome, False):
        for program in ("proxy", house.main, house.other):
            print(f"--- the end of {program}.log\n{logs.tail(house.of.root / 'var' / 'log' / f'{program}.log', 40)}")
        houses.pull_down(kind)
