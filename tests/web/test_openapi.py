"""The description of the proxy's own endpoints is of those that there are."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.core.endpoints import ENDPOINTS
from proxy.web.openapi import described
from tests.installation import CHECKOUT, Installation, fake_model, running


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As a running proxy tells it."""
    with running(Installation(Path(tmp_path_factory.mktemp("a")), [fake_model("a")], {"Chat": "a"}, 4.5)) as box:
        document: dict[str, Any] = httpx.get(f"{box.url}/openapi.json", trust_env=False).json()
        served = httpx.get(f"{box.url}/nothing", trust_env=False).json()["error"]["message"].partition("Served: ")[2]
        document["served"] = served.split(", ")
    return document


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
