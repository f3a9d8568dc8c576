import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from proxy.core.errors import WaitedTooLong
from proxy.traffic import Outcome
from tests.upstream.conftest import until
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


async def test_a_wait_is_counted_as_long_as_it_was_and_only_if_there_was_one(plane: DataPlane) -> None:
    plane.fleet.error = WaitedTooLong("x")
    plane.fleet.leases.is_at_once = False
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.post(f"{plane.url}/v1/completions", json={"model": "nobody"})
        waiting = asyncio.create_task(client.post(f"{plane.url}/v1/completions", json={"model": "a"}))
        await until(lambda: plane.fleet.leases.waiting == 1)
        await asyncio.sleep(0.2)
        plane.fleet.leases.ready.set()
        assert (await waiting).status_code == 503
    waits = {key[1]: series.wait for key, series in plane.traffic._series.items()}
    assert sum(waits[""].counts) == 0
    assert sum(waits["a"].counts) == 1
    assert waits["a"].sum_s > 0.19


@pytest.mark.parametrize("is_read", [True, False])
async def test_the_bytes_of_a_body_are_counted_however_it_comes(plane: DataPlane, is_read: bool) -> None:
    """In one piece, or in chunks that go through unread."""
    body = b'{"model": "a", "prompt": "%b"}' % (b"x" * 2**12)

    received = []

    async def answer(request: web.Request) -> web.Response:
        received.append(len(await request.read()))
        return web.json_response({})

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    plane.answer = answer
    sent = {"content": body} if is_read else {"content": pieces()}
    headers = {"Content-Type": "application/json"} | ({} if is_read else {"X-Agent-Type": "Chat"})
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/completions", headers=headers, **sent)  # type: ignore[arg-type]
    assert got.status_code == 200
    await until(lambda: bool(plane.traffic._series))
    [series] = plane.traffic._series.values()
    assert [series.bytes_in] == received
    assert series.bytes_in > 2**12
