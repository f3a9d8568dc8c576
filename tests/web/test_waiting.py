"""What a client is told while it waits."""

import asyncio
import json

import httpx
import pytest
from aiohttp import web

from proxy.core.errors import EngineStartFailed, QueueFull
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole

STREAM = {"model": "a", "messages": [], "stream": True}
EVENT = b'data: {"x": 1}\n\n'


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(3):
        await response.write(EVENT)
    await response.write(b"data: [DONE]\n\n")
    return response


async def ready_after_a_comment(plane: DataPlane, answer: httpx.Response, got: list[str]) -> None:
    async for line in answer.aiter_lines():
        got.append(line)
        if line.startswith(": waiting"):
            plane.fleet.leases.ready.set()


async def stream(
    plane: DataPlane, path: str = "/v1/chat/completions", **more: object
) -> tuple[httpx.Response, list[str]]:
    got: list[str] = []
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}{path}", **({"json": STREAM} | more)) as answer,  # type: ignore[arg-type]
    ):
        await ready_after_a_comment(plane, answer, got)
    return answer, got


async def test_a_stream_that_waits_is_told_so_and_then_gets_its_events(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once, plane.answer = False, events
    answer, got = await stream(plane)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["X-Rota-Model"] == "a"
    assert got[0] == ": waiting for a: starting, about 14 s left"
    assert ": X-Rota-Model: a; X-Rota-Waited-S: 1.250; X-Rota-Swap: start" in got
    assert [line for line in got if line.startswith("data: ")] == ['data: {"x": 1}'] * 3 + ["data: [DONE]"]
    assert plane.fleet.leases.held == 0


async def test_who_does_not_wait_gets_the_engines_own_head_and_who_answered(plane: DataPlane) -> None:
    plane.answer = events
    answer, got = await stream(plane)
    assert not [line for line in got if line.startswith(":")]
    told = {name: answer.headers[name] for name in ("X-Rota-Model", "X-Rota-Waited-S", "X-Rota-Swap")}
    assert told == {"X-Rota-Model": "a", "X-Rota-Waited-S": "0.000", "X-Rota-Swap": "none"}


@pytest.mark.parametrize(("more", "waited"), [({"headers": {"X-Rota-Wait": "plain"}}, "1.250"), ({}, None)])
async def test_a_client_can_ask_to_be_told_nothing(
    plane: DataPlane, more: dict[str, object], waited: str | None
) -> None:
    plane.fleet.leases.is_at_once, plane.answer = False, events
    asking = asyncio.create_task(stream(plane, **more))
    await until(lambda: plane.fleet.leases.waiting == 1)
    await asyncio.sleep(3 * plane.wait_comment_s)
    plane.fleet.leases.ready.set()
    answer, got = await asking
    assert answer.headers.get("X-Rota-Waited-S") == waited
    assert bool([line for line in got if line.startswith(":")]) is (waited is None)


async def test_who_asked_for_no_stream_waits_in_silence(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    plane.fleet.leases.is_at_once, plane.answer = False, answer
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(client.post(f"{plane.url}/v1/chat/completions", json=STREAM | {"stream": False}))
        await until(lambda: plane.fleet.leases.waiting == 1)
        await asyncio.sleep(3 * plane.wait_comment_s)
        plane.fleet.leases.ready.set()
        got = await asking
    assert (got.content, got.headers["X-Rota-Swap"], got.headers["X-Rota-Waited-S"]) == (b"{}", "start", "1.250")


FORMS = {
    "/v1/chat/completions": ["data: {", "data: [DONE]"],
    "/v1/messages": ["event: error", 'data: {"type":"error"'],
    "/v1/responses": ["event: error", 'data: {"type":"error"'],
}


@pytest.mark.parametrize(("path", "lines"), FORMS.items(), ids=FORMS)
async def test_a_failure_after_the_first_comment_is_an_event_in_the_endpoints_form(
    plane: DataPlane, path: str, lines: list[str]
) -> None:
    plane.fleet.leases.is_at_once = False
    plane.fleet.error = EngineStartFailed("it does not start")
    answer, got = await stream(plane, path)
    assert answer.status_code == 200
    said = [line for line in got if line and not line.startswith(":")]
    assert [line.startswith(start) for line, start in zip(said, lines, strict=True)] == [True, True]
    assert "it does not start" in "".join(said)


async def test_who_is_refused_at_once_gets_a_status(plane: DataPlane) -> None:
    plane.fleet.error = QueueFull("full", retry_after_s=7.0)
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", json=STREAM)
    assert (got.status_code, got.headers["Retry-After"]) == (429, "7")


async def test_an_engines_error_after_the_first_comment_is_an_event_with_its_words(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "too long a prompt", "code": 400}}, status=400)

    plane.fleet.leases.is_at_once, plane.answer = False, answer
    _, got = await stream(plane)
    said = [line for line in got if line.startswith("data: ")]
    assert json.loads(said[0].removeprefix("data: "))["error"] == {"message": "too long a prompt", "code": 400}
    assert said[1:] == ["data: [DONE]"]


async def test_the_fallback_is_told_of_in_the_stream(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once, plane.answer = False, events
    plane.fleet.errors["claims"] = EngineStartFailed("no")
    _, got = await stream(plane, json=STREAM | {"model": "Claims"})
    assert any("X-Rota-Fallback: a; for=claims; because=engine_start_failed" in line for line in got)


async def test_a_silent_stream_gets_comments_between_its_events_and_never_within_one(plane: DataPlane) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"data: half")
        await asyncio.sleep(2 * plane.stream_keep_alive_s)
        await response.write(b" whole\n\n")
        await go_on.wait()
        return response

    plane.answer = answer
    got: list[str] = []
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}/v1/completions", json=STREAM) as answered,
    ):
        async for line in answered.aiter_lines():
            got.append(line)
            if line == ": keep-alive":
                go_on.set()
    assert got[0] == "data: half whole"
    assert ": keep-alive" in got


async def test_an_engine_that_is_silent_before_its_head_is_no_silence_for_who_has_waited(plane: DataPlane) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(4 * plane.stream_keep_alive_s)
        return await events(request)

    plane.fleet.leases.is_at_once, plane.answer = False, slow
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}/v1/completions", json=STREAM) as answered,
    ):
        plane.fleet.leases.ready.set()
        lines = [line async for line in answered.aiter_lines()]
    assert ": keep-alive" in lines[: lines.index('data: {"x": 1}')]


async def test_a_client_of_http_1_0_that_waits_is_told_so_without_chunks(plane: DataPlane) -> None:
    """An nginx in front speaks it by default."""
    plane.fleet.leases.is_at_once, plane.answer = False, events
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model": "a", "stream": true}', version="1.0"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readline() == b": waiting for a: starting, about 14 s left\n"
        plane.fleet.leases.ready.set()
        body = await whole(reader)
    assert b"chunked" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.endswith(EVENT * 3 + b"data: [DONE]\n\n")
    assert b"\n: X-Rota-Model: a; " in body


async def test_a_failure_is_an_event_for_a_client_of_http_1_0_too(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once, plane.fleet.error = False, EngineStartFailed("no luck")
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model": "a", "stream": true}', version="1.0"))
        await reader.readuntil(b": waiting for a")
        plane.fleet.leases.ready.set()
        body = await whole(reader)
    assert b'data: {"error":{"message":"no luck"' in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_in_the_wait_gives_its_place_up(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model": "a", "stream": true}'))
        await until(lambda: plane.fleet.leases.waiting == 1)
        assert b": waiting" in await reader.readuntil(b"left")
    await until(lambda: plane.fleet.leases.waiting == 0)
