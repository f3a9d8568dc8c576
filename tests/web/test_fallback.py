"""Who answers where a model cannot be had."""

import httpx
import pytest
from aiohttp import web

from proxy.core.errors import (
    BlockedByOthers,
    EngineStartFailed,
    ModelTooLarge,
    RotaError,
    StoppedByHand,
    WaitedTooLong,
)
from tests.web.conftest import DataPlane


async def ask_claims(plane: DataPlane, **body: object) -> httpx.Response:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"model": (await request.json())["model"]})

    plane.answer = answer
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{plane.url}/v1/chat/completions", json=body)


CANNOT_BE_HAD = [EngineStartFailed("x"), ModelTooLarge("x"), BlockedByOthers("x"), StoppedByHand("x")]


@pytest.mark.parametrize("error", CANNOT_BE_HAD, ids=lambda error: error.code)
async def test_where_a_model_cannot_be_had_its_agent_types_fallback_answers_and_says_so(
    plane: DataPlane, error: RotaError
) -> None:
    plane.fleet.errors["claims"] = error
    got = await ask_claims(plane, agent_type="Claims")
    assert (got.status_code, got.json()) == (200, {"model": "a"})
    assert got.headers["X-Rota-Fallback"] == f"a; for=claims; because={error.code}"


async def test_who_named_the_model_itself_gets_the_error(plane: DataPlane) -> None:
    plane.fleet.errors["claims"] = EngineStartFailed("no weights")
    got = await ask_claims(plane, model="claims")
    assert (got.status_code, got.headers["X-Rota-Error"]) == (503, "engine_start_failed")
    assert "X-Rota-Fallback" not in got.headers


async def test_who_has_waited_its_time_gets_the_error_and_no_fallback(plane: DataPlane) -> None:
    plane.fleet.errors["claims"] = WaitedTooLong("x")
    assert (await ask_claims(plane, agent_type="Claims")).status_code == 503
    assert plane.fleet.asked == ["claims"]


async def test_where_the_fallback_cannot_be_had_either_both_reasons_are_told(plane: DataPlane) -> None:
    plane.fleet.errors = {"claims": EngineStartFailed("no weights", retry_after_s=7), "a": StoppedByHand("by ann")}
    got = await ask_claims(plane, agent_type="Claims")
    assert (got.status_code, got.headers["X-Rota-Error"], got.headers["Retry-After"]) == (
        503,
        "engine_start_failed",
        "7",
    )
    assert got.json()["error"]["message"] == "no weights\nIts fallback a cannot be had either: by ann"
    assert "X-Rota-Fallback" not in got.headers, "nobody answered in its place"
