from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog.diff import LAUNCH_KEYS, change, changes, launch_identity
from catalog.render import Seat, launch
from catalog.spec import AgentRoute, Agents, Catalog, Gib, ModelSpec
from catalog.yaml_file import fields_of


def spec(name: str = "a", **more: Any) -> ModelSpec:
    fixed = {"weights": "w", "port": 8101, "memory_bytes": Gib(9), "kv_cache_bytes": Gib(1), "max_model_len": 8}
    return ModelSpec(name=name, **{**fixed, **more})


def catalog(*models: ModelSpec, budget: int | None = None, **routes: AgentRoute) -> Catalog:
    agents = Agents(agent_types=routes, memory_budget_bytes=None if budget is None else Gib(budget))
    return Catalog(folder=Path("c"), models={one.name: one for one in models}, agents=agents)


def test_equal_catalogs_have_no_changes() -> None:
    one = catalog(spec(), Chat=AgentRoute(model="a"))
    assert not changes(one, catalog(spec(), Chat=AgentRoute(model="a")))


def test_models_that_are_new_gone_and_changed_are_told_apart() -> None:
    found = changes(catalog(spec("a"), spec("b")), catalog(spec("b", max_model_len=16), spec("c")))
    assert (found.added, found.removed) == (("c",), ("a",))
    assert [(one.model, one.keys, one.is_same_launch) for one in found.changed] == [("b", ("max_model_len",), False)]


def test_keys_are_named_as_they_are_written() -> None:
    found = change(spec(), spec(memory_bytes=Gib(10), priority=2.0))
    assert found.keys == ("memory_gib", "priority")


@pytest.mark.parametrize(
    "more", [{"priority": 2.0}, {"idle_stop_s": 9.0}, {"aliases": ("x",)}, {"request_defaults": {"stop": "x"}}]
)
def test_how_a_model_is_treated_counts_without_a_restart(more: dict[str, Any]) -> None:
    assert change(spec(), spec(**more)).is_same_launch


def test_routes_and_the_budget_are_compared_too() -> None:
    old = catalog(spec("a"), spec("b"), Chat=AgentRoute(model="a"), Old=AgentRoute(model="a"))
    new = catalog(spec("a"), spec("b"), budget=5, Chat=AgentRoute(model="b"), New=AgentRoute(model="a"))
    found = changes(old, new)
    assert [(one.agent_type, one.old and one.old.model, one.new and one.new.model) for one in found.routes] == [
        ("Chat", "a", "b"),
        ("New", None, "a"),
        ("Old", "a", None),
    ]
    assert found.budget


def test_all_that_changes_a_command_line_is_a_launch_key() -> None:
    """What `render` reads of a spec must be among them, or an engine would go on by an old command line."""
    assert set(fields_of(ModelSpec)) >= LAUNCH_KEYS
    other: dict[str, Any] = {
        "weights": "v",
        "port": 8102,
        "max_model_len": 9,
        "max_num_seqs": 3,
        "kv_cache_bytes": Gib(2),
        "device_count": 2,
        "embedder": True,
        "dtype": "half",
        "chat_template": "t",
        "system_prompt": "s",
        "vllm_args": {"x": 1},
        "env": {"A": "b"},
        "vllm": "/v",
        "aliases": ("z",),
        "description": "d",
        "concurrency": 3,
        "priority": 3.0,
        "licence": "l",
        "request_defaults": {"stop": "s"},
        "start_timeout_s": 3.0,
    }
    for field, value in other.items():
        new = msgspec.structs.replace(spec(), **{field: value})
        launches = [
            launch(one, "vllm", Seat(awake_bytes=9, kv_cache_bytes=one.kv_cache_bytes)) for one in (spec(), new)
        ]
        if launches[0] != launches[1]:
            assert not change(spec(), new).is_same_launch, field


def test_a_launch_has_a_name_that_changes_with_what_decides_it_and_with_nothing_else() -> None:
    same = [spec(), spec(priority=2.0, aliases=("x",), description="d")]
    assert len({launch_identity(one) for one in same}) == 1
    others = [spec(port=8102), spec(vllm_args={"x": 1}), spec(env={"A": "b"}), spec(chat_template="t")]
    assert len({launch_identity(one) for one in [*same, *others]}) == 5
