"""Responses that outlive their requests."""

import asyncio

import httpx
import pytest
from aiohttp import web

from proxy.web import responses
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane

URL = "/v1/responses"


class Making:
    """An engine that makes a response in the background, until the test says that it is done."""

    def __init__(self) -> None:
        self.status = "queued"
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if request.method == "GET" and not request.path.endswith("/resp_abc"):
            return web.json_response({"error": {}}, status=404)
        return web.json_response({"id": "resp_abc", "status": self.status})


@pytest.fixture
def engine(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> Making:
    monkeypatch.setattr(responses, "LOOK_EVERY_S", 0.05)
    made = Making()
    plane.answer = made.answer
    return made


async def post(plane: DataPlane, **more: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{plane.url}{URL}", json={"model": "a", "input": "x"} | more)


async def test_an_engine_is_held_while_it_makes_a_response_in_the_background(plane: DataPlane, engine: Making) -> None:
    assert (await post(plane, background=True)).json()["status"] == "queued"
    await until(lambda: engine.asked.count(f"GET {URL}/resp_abc") > 1)
    assert plane.fleet.leases.held == 1
    engine.status = "in_progress"
    before = len(engine.asked)
    await until(lambda: len(engine.asked) > before + 1)
    assert plane.fleet.leases.held == 1
    engine.status = "completed"
    await until(lambda: plane.fleet.leases.held == 0)


@pytest.mark.parametrize("more", [{}, {"background": False}, {"background": "false"}])
async def test_what_is_not_made_in_the_background_is_over_with_its_answer(
    plane: DataPlane, engine: Making, more: dict[str, object]
) -> None:
    await post(plane, **more)
    await asyncio.sleep(0.1)
    assert (plane.fleet.leases.held, engine.asked) == (0, [f"POST {URL}"])


async def test_an_engine_that_is_gone_is_held_no_longer(plane: DataPlane, engine: Making) -> None:
    await post(plane, background=True)
    await until(lambda: plane.fleet.leases.held == 1)
    await plane.stop_engine()
    await until(lambda: plane.fleet.leases.held == 0)


async def test_nothing_is_held_for_ever(
    plane: DataPlane, engine: Making, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(responses, "LONGEST_S", 0.2)
    await post(plane, background=True)
    await until(lambda: plane.fleet.leases.held == 1)
    await until(lambda: plane.fleet.leases.held == 0)
    assert "resp_abc has not ended" in caplog.text


async def test_a_response_that_another_proxy_passed_on_is_found_at_the_engine_that_has_it(
    plane: DataPlane, engine: Making
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.get(f"{plane.url}{URL}/resp_abc")
        assert (got.status_code, got.headers["X-Rota-Model"]) == (200, "a")
        assert (await client.get(f"{plane.url}{URL}/resp_other")).status_code == 404
        plane.fleet.leases.is_at_once = False
        asked = len(engine.asked)
        assert (await client.get(f"{plane.url}{URL}/resp_another")).status_code == 404
    assert len(engine.asked) == asked, "who is not ready is not asked"
