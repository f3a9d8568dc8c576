from pathlib import Path

import msgspec
import pytest

from catalog.spec import GIB, AgentRoute, Agents, Catalog, Gib, ModelSpec, Source
from catalog.yaml_file import decode_gib, fields_of

REQUIRED = {"name": "a", "weights": "w", "port": 8101, "memory_gib": 2, "max_model_len": 8}


def spec_of(**more: object) -> ModelSpec:
    return msgspec.convert({**REQUIRED, **more}, ModelSpec, dec_hook=decode_gib)


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_what_has_no_sensible_default_is_required(key: str) -> None:
    rest = {name: value for name, value in REQUIRED.items() if name != key}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{key}`"):
        msgspec.convert(rest, ModelSpec, dec_hook=decode_gib)


def test_everything_else_may_be_left_out() -> None:
    spec = spec_of()
    assert (spec.memory_bytes, spec.kv_cache_bytes) == (2 * GIB, None)
    assert (spec.aliases, spec.vllm_args, spec.env, spec.source) == ((), {}, {}, None)


def test_amounts_are_gib_in_yaml_and_bytes_inside() -> None:
    for kind in (ModelSpec, Agents):
        assert not any(key.endswith("_bytes") for key in fields_of(kind))
        assert not any(field.name.endswith("_gib") for field in msgspec.structs.fields(kind))


@pytest.mark.parametrize("name", ["a", "7b", "llama-3.1_8b", "a" * 63])
def test_a_name_that_supervisord_can_carry_is_taken(name: str) -> None:
    assert spec_of(name=name).name == name


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "../a", "-a", ".a", "a:b", "a%b", "ä", "a" * 64])
def test_a_name_that_supervisord_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.name"):
        spec_of(name=name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 1023),
        ("port", 65536),
        ("max_model_len", 0),
        ("max_num_seqs", 0),
        ("start_timeout_s", 0),
        ("start_timeout_s", float("nan")),
        ("weights", ""),
        ("aliases", [""]),
        ("aliases", ["x" * 201]),
    ],
)
def test_a_value_out_of_its_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{key}"):
        spec_of(**{key: value})


@pytest.mark.parametrize("pypi", ["pkg", "pkg>=1", "pkg==", "==1", "pkg==1 --pre", "pkg==1;x", "https://host/x.whl"])
def test_a_source_is_pinned_to_one_version_of_one_package(pypi: str) -> None:
    assert msgspec.convert({"pypi": "pkg==1.0", "path": "x"}, Source).pypi == "pkg==1.0"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.pypi"):
        msgspec.convert({"pypi": pypi, "path": "x"}, Source)


def test_a_spec_is_frozen() -> None:
    with pytest.raises(AttributeError):
        spec_of().port = 1


def test_the_agent_types_of_a_model_are_sorted_and_only_its_own() -> None:
    routes = {name: AgentRoute(model=model) for name, model in [("Z", "a"), ("B", "b"), ("A", "a")]}
    catalog = Catalog(folder=Path(), models={}, agents=Agents(agent_types=routes))
    assert catalog.agent_types_of("a") == ["A", "Z"]
    assert catalog.agent_types_of("b") == ["B"]
    assert catalog.agent_types_of("c") == []


def test_an_amount_of_memory_reckons_like_a_number_of_bytes() -> None:
    assert Gib(GIB) + GIB == 2 * GIB
