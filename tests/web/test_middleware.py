import logging

import httpx
import pytest

from proxy.core.errors import EngineStartFailed
from tests.web.conftest import DataPlane
from tests.web.test_forward import post


async def test_an_error_of_the_proxy_has_openais_form_a_mark_and_when_to_come_back(plane: DataPlane) -> None:
    plane.fleet.error = EngineStartFailed("why", param="model", retry_after_s=3.4)
    got = await post(plane)
    assert got.status_code == 503
    assert got.json() == {
        "error": {"message": "why", "type": "server_error", "param": "model", "code": "engine_start_failed"}
    }
    assert (got.headers["X-Rota-Error"], got.headers["Retry-After"]) == ("engine_start_failed", "3")
    assert len(got.headers["X-Request-Id"]) == 32


async def test_paths_and_logs_are_not_the_clients(plane: DataPlane) -> None:
    plane.fleet.error = EngineStartFailed("why", detail="the last lines of /a/log:\n--secret-flag")
    assert (await post(plane)).json()["error"]["message"] == "why"


async def test_to_come_back_at_once_is_never_said(plane: DataPlane) -> None:
    plane.fleet.error = EngineStartFailed("why", retry_after_s=0.01)
    assert (await post(plane)).headers["Retry-After"] == "1"


async def test_a_bug_is_logged_with_its_trace_and_tells_the_client_nothing_but_where_to_look(
    plane: DataPlane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.fleet.error = ZeroDivisionError("secret detail")
    with caplog.at_level(logging.ERROR):
        got = await post(plane, headers={"X-Request-Id": "find-me"})
    assert got.status_code == 500
    assert got.json()["error"]["code"] == "internal_error"
    assert "secret detail" not in got.text
    assert "find-me" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("given", ["x" * 129, "two words", "tab\there", "\xe9"])
async def test_a_request_id_that_is_not_sane_is_replaced(plane: DataPlane, given: str) -> None:
    plane.fleet.error = EngineStartFailed("why")
    got = await post(plane, headers=httpx.Headers({"X-Request-Id": given}, encoding="latin-1"))
    assert got.headers["X-Request-Id"] != given


async def test_what_is_not_served_names_what_is(plane: DataPlane) -> None:
    got = await post(plane, "/v1/nothing")
    assert got.status_code == 404
    assert "POST /v1/completions, POST /v1/embeddings" in got.json()["error"]["message"]
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.get(f"{plane.url}/v1/embeddings")
    assert got.status_code == 405
    assert (got.json()["error"]["code"], got.headers["Allow"]) == ("method_not_allowed", "POST")
