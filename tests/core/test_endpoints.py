"""What goes through, held against the routes of the vLLM that is installed."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY, FORBIDDEN, OWN, Endpoint, may_pass
from tests.installation import REAL_VLLM

ADDS_A_ROUTE = {
    "get", "post", "put", "delete", "patch", "head", "options", "websocket", "route", "api_route", "mount",
    "add_api_route", "add_route", "add_api_websocket_route", "add_websocket_route", "websocket_route",
}  # fmt: skip
MADE_ELSEWHERE = {"/openapi.json", "/redoc", "/docs/oauth2-redirect", "/metrics"}
"""By FastAPI itself, and by prometheus_client, which vLLM mounts with a regular expression."""
NOT_OF_AN_ENGINE = ("cli/", "launchers/")
"""Servers of their own, which Rota does not start."""
NOT_A_PATH = {"route.path", "app.swagger_ui_oauth2_redirect_url"}
"""Given by an expression: the disabled twin of a route that is listed itself; the redirect of /docs."""


def routes_in(folder: Path) -> Iterator[tuple[str, str]]:
    """Every route that a call in the sources of `folder` adds, whatever switch it stands behind, and where."""
    for file in sorted(folder.rglob("*.py")):
        where = str(file.relative_to(folder))
        if where.startswith(NOT_OF_AN_ENGINE):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            owner, path = ast.unparse(node.func.value), node.args[0]
            if node.func.attr not in ADDS_A_ROUTE or not (owner.endswith("router") or owner in ("app", "self.app")):
                continue
            if isinstance(path, ast.Constant) and isinstance(path.value, str):
                yield path.value, f"{where}:{node.lineno}"
            elif ast.unparse(path) not in NOT_A_PATH:
                yield f"<{ast.unparse(path)}>", f"{where}:{node.lineno}"


def decided() -> set[str]:
    return {one.path for one in (*ENDPOINTS, *ENGINE_ONLY)} | set(FORBIDDEN) | set(OWN)


def undecided(routes: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{path} ({where})" for path, where in routes if path not in decided()]


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    folder = next((REAL_VLLM.parents[1] / "lib").glob("python3*/site-packages/vllm/entrypoints"), None)
    if folder is None:
        pytest.skip("vLLM is not installed: make vllm")
    return list(routes_in(folder))


def test_every_route_of_the_installed_vllm_is_decided_on(routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 60, "the reader of routes finds too little"
    assert undecided(routes) == [], "decide in proxy/core/endpoints.py whether these go through"


def test_nothing_is_decided_on_that_vllm_does_not_have(routes: list[tuple[str, str]]) -> None:
    assert decided() - {path for path, _ in routes} - MADE_ELSEWHERE == set()


def test_a_new_route_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text(
        "@router.post('/v1/new', dependencies=[])\nasync def new(): ...\napp.add_api_route(PREFIX + '/x', f)\n"
    )
    assert undecided(routes_in(tmp_path)) == ["/v1/new (new.py:1)", "<PREFIX + '/x'> (new.py:3)"]


def test_no_path_is_both_let_through_and_forbidden() -> None:
    assert {one.path for one in (*ENDPOINTS, *ENGINE_ONLY)} & set(FORBIDDEN) == set()


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, *ENGINE_ONLY], ids=lambda one: f"{one.method} {one.path}")
def test_what_is_listed_may_pass_for_a_named_engine(endpoint: Endpoint) -> None:
    assert may_pass(endpoint.method, endpoint.path.replace("{response_id}", "resp_0a-1")) is endpoint


@pytest.mark.parametrize("path", sorted(FORBIDDEN))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_what_is_forbidden_never_passes(method: str, path: str) -> None:
    assert may_pass(method, path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/..%2f..%2fsleep",
        "/v1/responses/../../sleep",
        "/v1/responses/a/b",
        "/v1/responses/",
        "/v1/responses/a%00",
        "/v1/responses/a?x",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/./chat/completions",
        "/V1/chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completions;x=1",
        "",
    ],
)
def test_another_spelling_is_another_path(path: str) -> None:
    assert may_pass("POST", path) is None
    assert may_pass("GET", path) is None


@given(st.text(st.sampled_from("/.%2efFsleepwake_up?;#\\ v1responses"), max_size=30))
def test_only_exact_spellings_pass(path: str) -> None:
    for method in ("GET", "POST"):
        endpoint = may_pass(method, path)
        if endpoint is not None:
            assert path.startswith(endpoint.path.partition("{")[0])
            assert not set(path) & set("%?;#\\ ")
            assert "//" not in path
            assert ".." not in path
