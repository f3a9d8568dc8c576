"""Whole installations, started once per module: with the fake vLLM, and the same with real vLLM on the CPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installation import CHECKOUT, REAL_VLLM, Installation, fake_model, free_port, running

AGENTS = {"MedicalQA": "medical", "Chat": "chat", "Claims": "claims", "Evidence": "evidence"}
BUDGET_GIB = 4.5
"""One chat model (2.5) and the embedder (1.75) fit together; two chat models do not."""


def fakes() -> list[dict[str, Any]]:
    more = {"sleep_levels": [1, 2]}
    chats = [fake_model(name, 2.5, aliases=[f"{name}-alias"], **more) for name in ("medical", "chat", "claims")]
    return [*chats, fake_model("evidence", 1.75, embedder=True)]


def reals() -> list[dict[str, Any]]:
    """The demo catalog's models under the names of the scenario, on ports of their own."""
    models = []
    for path in sorted((CHECKOUT / "catalog" / "demo").glob("demo-*.yaml")):
        model = yaml.safe_load(path.read_text())
        name = model["name"].removeprefix("demo-")
        places = {key: str(CHECKOUT / model[key]) for key in ("weights", "chat_template") if key in model}
        own = {"name": name, "port": free_port(), "vllm": str(REAL_VLLM), "aliases": [f"{name}-alias"]}
        # What vLLM finds out of a model at its first start (8 s) is kept for all installations of the tests.
        own["env"] = model.get("env", {}) | {"VLLM_CACHE_ROOT": str(CHECKOUT / "var" / "cache" / "tests")}
        more = {} if model.get("embedder") else {"sleep_levels": [1, 2]}
        models.append({**model, **more, **places, **own})
    return models


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.vllm)])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The scenario's installation, of either kind."""
    is_real = request.param == "real"
    if is_real and not REAL_VLLM.exists():
        pytest.fail(f"{REAL_VLLM} is not there: make setup")
    root = Path(tmp_path_factory.mktemp(request.param))
    models = reals() if is_real else fakes()
    with running(Installation(root, models, AGENTS, BUDGET_GIB)) as installation:
        installation.start_takes_s = 240 if is_real else 20
        yield installation


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of fakes, for what only a fake can be made to do."""
    with running(Installation(Path(tmp_path_factory.mktemp("f")), fakes(), AGENTS, BUDGET_GIB)) as installation:
        yield installation
