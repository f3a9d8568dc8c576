import httpx
from aiohttp import web

from proxy.core.errors import WaitedTooLong
from proxy.traffic import Outcome
from tests.web.conftest import DataPlane


def counted(plane: DataPlane) -> list[tuple[str, str, str, int, str]]:
    return sorted(plane.traffic._series)


async def test_every_request_is_counted_once_under_names_of_the_catalog(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    plane.answer = answer
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.post(f"{plane.url}/v1/chat/completions", json={"agent_type": "Chat"})
        await client.post(f"{plane.url}/v1/chat/completions", json={"model": "made up by a client"})
        plane.fleet.error = WaitedTooLong("x")
        await client.post(f"{plane.url}/v1/completions", json={"model": "a"})
    chat, completions = "/v1/chat/completions", "/v1/completions"
    assert counted(plane) == [
        (chat, "", "", 404, Outcome.REFUSED),
        (chat, "a", "Chat", 200, Outcome.ANSWERED),
        (completions, "a", "", 503, Outcome.REFUSED),
    ]


async def test_an_error_in_the_form_of_anthropic(plane: DataPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/messages", json={"model": "nobody", "messages": []})
    assert got.status_code == 404
    assert got.json()["type"] == "error"
    assert got.json()["error"]["type"] == "not_found_error"
    assert got.headers["X-Rota-Error"] == "model_not_found"
    assert got.headers["X-Request-Id"]
