"""The description of the proxy's own endpoints is of those that there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.core.endpoints import ENDPOINTS
from proxy.web.openapi import described
from tests.installation import CHECKOUT, Installation, fake_model, running


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    model = fake_model("a", sleep_levels=[1])
    with running(Installation(Path(tmp_path_factory.mktemp("a")), [model], {"Chat": "a"}, 4.5)) as installation:
        yield installation


@pytest.fixture(scope="module")
def told(box: Installation) -> dict[str, Any]:
    """As a running proxy tells it."""
    document: dict[str, Any] = httpx.get(f"{box.url}/openapi.json", trust_env=False).json()
    served = httpx.get(f"{box.url}/nothing", trust_env=False).json()["error"]["message"].partition("Served: ")[2]
    document["served"] = served.split(", ")
    return document


def check_answer(told: dict[str, Any], box: Installation, method: str, path: str, query: str = "") -> str:
    """The status of a live answer, which is as `told`, and so is its media type."""
    url = box.url + path.replace("{model}", "a").replace("{file}", "app.js") + query
    described = told["paths"][path][method.lower()]["responses"]
    with httpx.stream(method, url, timeout=60, trust_env=False) as got:
        kind, status = got.headers.get("Content-Type", "").partition(";")[0], str(got.status_code)
    assert status in described, (method, path, status)
    kinds = described[status].get("content")
    assert kinds is None or kind in kinds, (method, path, kind)
    return status


def test_what_answers_has_the_status_and_the_media_type_that_are_described(
    told: dict[str, Any], box: Installation
) -> None:
    forwarded = {(one.method, one.path) for one in ENDPOINTS}
    own = [path for path, operations in told["paths"].items() if "get" in operations and ("GET", path) not in forwarded]
    queries = {"/plan": "?model=a", "/events": "?after=0"}
    assert {"/events", "/ui", "/ui/{file}", "/engines/{model}/log", "/metrics"} < set(own)
    for path in own:
        check_answer(told, box, "GET", path, queries.get(path, ""))
    assert check_answer(told, box, "GET", "/") == check_answer(told, box, "GET", "/ui/") == "302"
    at = "/admin/engines/{model}"
    acts = [("start", ""), ("start", "?wait=false"), ("pin", ""), ("unpin", ""), ("sleep", ""), ("stop", "?force=true")]
    answered = [check_answer(told, box, "POST", f"{at}/{act}", query) for act, query in acts]
    assert answered == ["200", "202", "200", "200", "202", "202"]
    for path in ("/admin/reload", "/admin/audit/find", "/admin/audit/verify"):
        assert check_answer(told, box, "POST", path) == "200"
    heads = [one["name"] for one in told["paths"]["/events"]["get"]["parameters"] if one["in"] == "header"]
    assert heads == ["Last-Event-ID"]


def test_every_route_is_described_and_nothing_else(told: dict[str, Any]) -> None:
    there = {f"{method.upper()} {path}" for path, operations in told["paths"].items() for method in operations}
    assert there == {one for one in told["served"] if not one.startswith("*")}
    assert {f"{one.method} {one.path}" for one in ENDPOINTS} <= there
    assert {"GET /events", "GET /log", "GET /engines/{model}/log", "GET /openapi.json", "GET /health"} <= there


def test_each_says_what_it_is_and_what_it_takes(told: dict[str, Any]) -> None:
    for path, operations in told["paths"].items():
        for operation in operations.values():
            assert operation["summary"].endswith((".", ";", ":")), path
            assert operation["responses"]["default"]["$ref"] == "#/components/responses/Error"
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
    for path in ("/admin/engines/{model}/start", "/admin/engines/{model}/sleep", "/admin/reload"):
        assert [one for one in told["paths"][path]["post"]["parameters"] if one["in"] == "query"], path
    find = told["paths"]["/admin/audit/find"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"key", "since", "text", "last"} <= find["properties"].keys()
    assert told["paths"]["/health"]["get"]["security"] == []
    assert told["paths"]["/events"]["get"]["x-role"] == "monitor"
    assert told["openapi"] == "3.1.0"
    assert "Error" in told["components"]["responses"]


def test_the_page_about_the_api_has_every_endpoint_of_the_proxys_own(told: dict[str, Any]) -> None:
    page = (CHECKOUT / "docs" / "api.md").read_text()
    forwarded = {(one.method.lower(), one.path) for one in ENDPOINTS}
    for path, operations in told["paths"].items():
        for method in operations:
            assert (method, path) in forwarded or f"`{method.upper()} {path}`" in page, (method, path)


def test_without_routes_it_is_what_is_forwarded() -> None:
    assert described([])["paths"].keys() == {one.path for one in ENDPOINTS}
