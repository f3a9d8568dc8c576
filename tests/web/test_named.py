"""Engines by their names, and responses by their ids."""

import httpx
import pytest
from aiohttp import web

from proxy.core.endpoints import FORBIDDEN
from tests.web.conftest import DataPlane


async def ask(plane: DataPlane, method: str, path: str, **more: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"{plane.url}{path}", **more)  # type: ignore[arg-type]


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {"method": request.method, "path": request.raw_path, "body": (await request.read()).decode()}
    )


async def test_a_named_engine_gets_the_rest_of_the_path_and_its_own_name_in_the_body(plane: DataPlane) -> None:
    plane.answer = echo
    got = await ask(plane, "POST", "/engines/a/v1/chat/completions?x=1", json={"agent_type": "Chat", "n": 1})
    assert got.json() == {"method": "POST", "path": "/v1/chat/completions?x=1", "body": '{"model":"a","n":1}'}
    got = await ask(plane, "GET", "/engines/a/metrics")
    assert got.json() == {"method": "GET", "path": "/metrics", "body": ""}
    assert plane.fleet.asked == ["a"], "who only looks has no lease"


async def test_looking_at_an_engine_starts_and_wakes_nothing(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once = False
    got = await ask(plane, "GET", "/engines/a/metrics")
    assert (got.status_code, got.headers["X-Rota-Error"]) == (503, "engine_not_up")
    assert plane.fleet.asked == []


@pytest.mark.parametrize(
    "path", [*sorted(FORBIDDEN), "/v1/chat/completions/../../sleep", "/%73leep", "//sleep", "/sleep/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_may_not_pass_does_not_pass_for_a_named_engine_either(
    plane: DataPlane, method: str, path: str
) -> None:
    got = await ask(plane, method, f"/engines/a{path}")
    assert got.status_code in (404, 405)
    got = await ask(plane, method, path)
    assert got.status_code in (404, 405)
    assert plane.fleet.asked == []


@pytest.mark.parametrize("said", [{"model": "claims"}, {"agent_type": "Claims"}, {"model": "nobody"}])
async def test_a_request_that_means_another_model_than_its_path_is_refused(
    plane: DataPlane, said: dict[str, str]
) -> None:
    plane.answer = echo
    got = await ask(plane, "POST", "/engines/a/v1/completions", json=said)
    assert got.status_code == (404 if said == {"model": "nobody"} else 400)
    got = await ask(plane, "POST", "/engines/a/v1/completions", json={}, headers={"X-Agent-Type": "Claims"})
    assert "the path names the engine a, and the request means claims" in got.json()["error"]["message"]
    assert plane.fleet.asked == []


async def test_another_method_of_an_engines_path_is_told_which_is_served(plane: DataPlane) -> None:
    got = await ask(plane, "GET", "/engines/a/v1/chat/completions")
    assert (got.status_code, got.headers["Allow"], got.headers["X-Rota-Error"]) == (405, "POST", "method_not_allowed")
    assert "/engines/a/v1/chat/completions: only POST" in got.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/engines/nobody/v1/completions", "/engines/Chat/v1/completions"])
async def test_an_engine_that_there_is_not_is_said_to_be_none(plane: DataPlane, path: str) -> None:
    got = await ask(plane, "POST", path, json={})
    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_response_is_asked_of_the_engine_that_made_it(plane: DataPlane, is_stream: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET" or request.path.endswith("/cancel"):
            return await echo(request)
        if not is_stream:
            return web.json_response({"id": "resp_abc", "object": "response"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'event: response.created\ndata: {"response": {"id": "resp_abc"}}\n\n')
        return response

    plane.answer = answer
    got = await ask(plane, "POST", "/v1/responses", json={"model": "a", "input": "x", "stream": is_stream})
    assert got.status_code == 200
    got = await ask(plane, "GET", "/v1/responses/resp_abc?x=1")
    assert got.json()["path"] == "/v1/responses/resp_abc?x=1"
    got = await ask(plane, "POST", "/v1/responses/resp_abc/cancel")
    assert got.json() == {"method": "POST", "path": "/v1/responses/resp_abc/cancel", "body": ""}
    plane.fleet.leases.is_at_once = False
    assert (await ask(plane, "GET", "/v1/responses/resp_abc")).status_code == 503, "its engine has forgotten it"


@pytest.mark.parametrize("response_id", ["resp_unknown", "..%2fsleep", "a%20b"])
async def test_a_response_that_nobody_knows_is_not_found(plane: DataPlane, response_id: str) -> None:
    plane.fleet.leases.is_at_once = False
    got = await ask(plane, "GET", f"/v1/responses/{response_id}")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "not_found")


async def test_the_realtime_socket_of_a_named_engine_is_asked_for_elsewhere(plane: DataPlane) -> None:
    assert (await ask(plane, "GET", "/engines/a/v1/realtime")).status_code == 404
