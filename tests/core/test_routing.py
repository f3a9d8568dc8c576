import re
from pathlib import Path

import msgspec
import pytest

from catalog.spec import AgentRoute, Agents, Catalog, Gib, ModelSpec
from proxy.core.endpoints import Endpoint, Purpose
from proxy.core.errors import InvalidRequest, ModelNotFound, WrongModelForPath
from proxy.core.routing import Router


def spec_of(name: str, *aliases: str) -> ModelSpec:
    amounts = {"memory_bytes": Gib(2), "kv_cache_bytes": Gib(1)}
    return ModelSpec(name=name, weights="w", port=8101, max_model_len=1, aliases=aliases, **amounts)


def routed(model: str | None = None, *, body: str | None = None, header: str | None = None) -> str:
    """Route in a catalog of two models, `medical` and `claims`, and three agent types."""
    models = {spec.name: spec for spec in (spec_of("medical", "gpt-4"), spec_of("claims"))}
    pairs = {"MedicalQA": "medical", "Claims": "claims", "Billing": "claims"}
    routes = {agent_type: AgentRoute(model=name) for agent_type, name in pairs.items()}
    router = Router(Catalog(folder=Path(), models=models, agents=Agents(agent_types=routes)))
    return router.route(model, body, header).model


@pytest.mark.parametrize(
    ("model", "body", "header", "answers"),
    [
        (None, "MedicalQA", None, "medical"),
        (None, None, "Billing", "claims"),
        (None, "Billing", "Billing", "claims"),
        ("claims", None, None, "claims"),
        ("gpt-4", None, None, "medical"),
        ("MedicalQA", None, None, "medical"),
        ("claims", "Billing", None, "claims"),
        ("gpt-4", "MedicalQA", None, "medical"),
        ("Claims", "Billing", None, "claims"),
        ("", "", "Claims", "claims"),
        (None, "Claims", "", "claims"),
    ],
)
def test_an_agent_type_a_model_an_alias_or_names_that_agree_lead_to_the_model(
    model: str | None, body: str | None, header: str | None, answers: str
) -> None:
    assert routed(model, body=body, header=header) == answers


@pytest.mark.parametrize(
    ("model", "body", "header", "fallback"),
    [
        (None, "Claims", None, "chat"),
        (None, None, "Claims", "chat"),
        ("Claims", None, None, "chat"),
        ("", "Claims", None, "chat"),
        (None, "Billing", None, None),
        ("claims", None, None, None),
        ("claims", "Claims", None, None),
        ("gpt-claims", "Claims", None, None),
    ],
)
def test_who_names_an_agent_type_gets_its_fallback_and_who_names_the_model_wants_that_one(
    model: str | None, body: str | None, header: str | None, fallback: str | None
) -> None:
    models = {spec.name: spec for spec in (spec_of("claims", "gpt-claims"), spec_of("chat"))}
    routes = {"Claims": AgentRoute(model="claims", fallback="chat"), "Billing": AgentRoute(model="claims")}
    router = Router(Catalog(folder=Path(), models=models, agents=Agents(agent_types=routes)))
    route = router.route(model, body, header)
    assert (route.model, route.fallback) == ("claims", fallback)


def test_body_and_header_that_name_different_agent_types_are_refused_even_for_the_same_model() -> None:
    with pytest.raises(InvalidRequest, match="agent_type 'Claims' and the header X-Agent-Type 'Billing'") as caught:
        routed(body="Claims", header="Billing")
    assert (caught.value.status, caught.value.param) == (400, "agent_type")


@pytest.mark.parametrize("model", ["medical", "gpt-4", "MedicalQA"])
def test_an_agent_type_and_a_model_that_disagree_are_refused(model: str) -> None:
    what = f"agent_type 'Claims' is answered by claims, but model '{model}' means medical"
    with pytest.raises(InvalidRequest, match=what) as caught:
        routed(model, body="Claims")
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_request_that_names_nothing_is_told_what_there_is(nothing: str | None) -> None:
    all_names = r"Agent types: MedicalQA, Claims, Billing\. Models: medical, claims\.$"
    with pytest.raises(InvalidRequest, match=all_names) as caught:
        routed(nothing, body=nothing, header=nothing)
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize(
    ("kind", "given", "suggested"),
    [("model", "clams", "claims"), ("model", "gpt-5", "gpt-4"), ("agent_type", "MedcalQA", "MedicalQA")],
)
def test_an_unknown_name_is_404_with_the_nearest_and_all_there_are(kind: str, given: str, suggested: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        routed(given) if kind == "model" else routed(header=given)
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", kind)
    assert error.message.startswith(f"there is no {kind} '{given}'. Did you mean '{suggested}'? Agent types: MedicalQA")


def test_a_model_is_no_agent_type() -> None:
    with pytest.raises(ModelNotFound):
        routed(body="medical")


@pytest.mark.parametrize("given", ["claims ", "CLAIMS", "../claims"])
def test_names_are_taken_exactly(given: str) -> None:
    with pytest.raises(ModelNotFound, match=f"there is no model '{re.escape(given)}'"):
        routed(given)


def test_a_known_agent_type_does_not_excuse_an_unknown_model() -> None:
    with pytest.raises(ModelNotFound, match="there is no model 'gpt-4o-mini'"):
        routed("gpt-4o-mini", body="Claims")


def test_a_very_long_name_is_not_echoed_whole() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routed("x" * 1_000_000)
    assert len(caught.value.message) < 400


def test_verbs_on_engines_take_the_models_own_name_only() -> None:
    models = {"medical": spec_of("medical", "gpt-4")}
    agents = Agents(agent_types={"MedicalQA": AgentRoute(model="medical")})
    router = Router(Catalog(folder=Path(), models=models, agents=agents))
    assert router.named("medical") == "medical"
    for other, said in (
        ("gpt-4", "'gpt-4' stands for the model medical"),
        ("MedicalQA", "'MedicalQA' stands for the model medical"),
        ("", "there is no model ''"),
    ):
        with pytest.raises(ModelNotFound, match=said):
            router.named(other)


def test_who_asks_the_wrong_kind_of_model_is_told_what_it_is_for_and_who_serves_the_path() -> None:
    models = {"chat": spec_of("chat"), "minilm": msgspec.structs.replace(spec_of("minilm"), embedder=True)}
    routes = {"Chat": AgentRoute(model="chat"), "Evidence": AgentRoute(model="minilm")}
    router = Router(Catalog(folder=Path(), models=models, agents=Agents(agent_types=routes)))
    for model, purpose in (("chat", Purpose.TEXT), ("minilm", Purpose.POOLING), ("chat", Purpose.ANY)):
        router.check_purpose(model, Endpoint("POST", "/x", purpose=purpose))
    with pytest.raises(WrongModelForPath) as caught:
        router.check_purpose("chat", Endpoint("POST", "/v1/embeddings", purpose=Purpose.POOLING))
    assert caught.value.message == (
        "chat writes text and does not serve /v1/embeddings. Those who do: agent types: Evidence; models: minilm"
    )
    with pytest.raises(WrongModelForPath, match=r"minilm computes embeddings.* agent types: Chat; models: chat"):
        router.check_purpose("minilm", Endpoint("POST", "/v1/chat/completions"))
