import asyncio
import gzip

import httpx
import pytest
from aiohttp import web

from proxy.web.relay import Relay
from tests.web.conftest import DataPlane

CHAT = {"model": "a", "messages": []}

JSON = ("Content-Type", "application/json")


async def post(plane: DataPlane, path: str = "/v1/chat/completions", **more: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{plane.url}{path}", **({"json": CHAT} | more))  # type: ignore[arg-type]


async def test_the_request_reaches_the_engine_with_the_served_name_and_without_the_agent_type(plane: DataPlane) -> None:
    seen: dict[str, object] = {}

    async def answer(request: web.Request) -> web.Response:
        seen.update(body=await request.json(), path=request.raw_path, headers=dict(request.headers))
        return web.json_response({})

    plane.answer = answer
    sent = {"agent_type": "Chat", "messages": [{"role": "user", "content": "ü"}], "nested": {"agent_type": "kept"}}
    headers = {
        "X-Request-Id": "id-1",
        "Authorization": "Bearer k",
        "X-Own": "1",
        "X-Agent-Type": "Chat",
        "Connection": "X-Hop",
        "X-Hop": "1",
    }
    got = await post(plane, "/v1/chat/completions?x=%20a&y", json=sent, headers=headers)
    assert got.status_code == 200
    assert seen["body"] == {"model": "a", "messages": sent["messages"], "nested": sent["nested"]}
    assert seen["path"] == "/v1/chat/completions?x=%20a&y"
    received = {name.lower(): value for name, value in seen["headers"].items()}  # type: ignore[attr-defined]
    assert (received["x-request-id"], received["x-own"]) == ("id-1", "1")
    assert not {"x-hop", "x-agent-type", "authorization"} & set(received)
    assert received["host"] == f"127.0.0.1:{plane.model.port}"


async def test_the_answer_comes_back_as_it_is_with_its_status_headers_and_bytes(plane: DataPlane) -> None:
    packed = gzip.compress(b'{"x": 1}')

    async def answer(request: web.Request) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json", "X-Own": "1", "Set-Cookie": "a=b"}
        return web.Response(status=418, reason="Teapot", body=packed, headers=headers)

    plane.answer = answer
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}/v1/completions", json=CHAT) as got,
    ):
        raw = b"".join([part async for part in got.aiter_raw()])
    assert (got.status_code, got.reason_phrase, raw) == (418, "Teapot", packed)
    assert got.headers["X-Own"] == "1"
    assert got.headers["Set-Cookie"] == "a=b"
    assert got.headers["Content-Length"] == str(len(packed))
    assert "X-Rota-Error" not in got.headers


async def test_a_request_without_an_id_gets_one_and_both_sides_see_the_same(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"id": request.headers["X-Request-Id"]})

    plane.answer = answer
    got = await post(plane)
    assert got.headers["X-Request-Id"] == got.json()["id"]
    assert len(got.json()["id"]) == 32


async def test_each_piece_of_a_stream_is_passed_on_before_the_next_is_made(plane: DataPlane) -> None:
    passed_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await passed_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    plane.answer = answer
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}/v1/completions", json=CHAT) as got,
    ):
        parts = got.aiter_raw()
        assert await anext(parts) == b"data: 1\n\n"
        passed_on.set()
        assert await anext(parts) == b"data: 2\n\n"


async def test_an_engine_that_breaks_off_in_mid_answer_never_looks_like_a_clean_end(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    plane.answer = answer
    with pytest.raises(httpx.RemoteProtocolError):
        await post(plane)
    assert plane.fleet.looks == 1
    assert plane.fleet.leases.held == 0


async def test_an_answer_shorter_than_its_declared_length_is_no_clean_end_either(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"short")
        assert request.transport is not None
        request.transport.close()
        return response

    plane.answer = answer
    with pytest.raises(httpx.RemoteProtocolError):
        await post(plane)


async def test_an_engine_that_is_gone_is_a_502_of_the_proxys_own(plane: DataPlane) -> None:
    await plane.stop_engine()
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", json={"model": "a"})
    assert (got.status_code, got.headers["X-Rota-Error"]) == (502, "engine_refused")
    assert "a could not be reached" in got.json()["error"]["message"]
    assert (plane.fleet.refusals, plane.fleet.asked) == (2, ["a", "a"]), "told of, and tried with the next engine, once"
    assert plane.fleet.leases.held == 0


async def test_a_client_that_leaves_cancels_the_engines_work_and_returns_the_lease(plane: DataPlane) -> None:
    cancelled = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        finally:
            cancelled.set()

    plane.answer = answer
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{plane.url}/v1/completions", json=CHAT) as got,
    ):
        await anext(got.aiter_raw())
        assert plane.fleet.leases.held == 1
    await asyncio.wait_for(cancelled.wait(), 2)
    for _ in range(200):
        if plane.fleet.leases.held == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the lease was not returned")


async def test_a_client_that_leaves_before_the_answer_begins_does_the_same(plane: DataPlane) -> None:
    cancelled = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError

    plane.answer = answer
    with pytest.raises(httpx.ReadTimeout):
        await post(plane, timeout=0.2)
    await asyncio.wait_for(cancelled.wait(), 2)


async def test_a_hundred_streams_at_once_are_not_held_back_by_a_connection_limit(plane: DataPlane) -> None:
    arrived = 0
    all_there = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == 150:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 20)
        return web.json_response({})

    plane.answer = answer
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=30) as client:
        got = await asyncio.gather(*(client.post(f"{plane.url}/v1/completions", json=CHAT) for _ in range(150)))
    assert {response.status_code for response in got} == {200}


async def test_a_compressed_request_body_is_understood_and_sent_on_plain(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"sent": await request.json(), "encoding": request.headers.get("Content-Encoding")})

    plane.answer = answer
    packed = gzip.compress(b'{"model": "a", "x": 1}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    got = await post(plane, json=None, content=packed, headers=headers)
    assert got.json() == {"sent": {"model": "a", "x": 1}, "encoding": None}


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b'{"a":' * 200_000, [JSON], "nested too deeply"),
        (b"no gzip", [JSON, ("Content-Encoding", "gzip")], "cannot be read"),
        (b'{"model": "a"}', [JSON, ("X-Agent-Type", "Chat"), ("X-Agent-Type", "Claims")], "differ"),
        (b'{"model": "a"}', [], "send JSON, with Content-Type: application/json"),
        (b'{"model": "a"}', [("Content-Type", "text/plain")], "the body is text/plain"),
    ],
)
async def test_a_clients_fault_is_a_400_that_says_which(
    plane: DataPlane, content: bytes, headers: object, says: str
) -> None:
    got = await post(plane, json=None, content=content, headers=headers)
    assert (got.status_code, plane.fleet.asked) == (400, [])
    assert says in got.json()["error"]["message"]


async def test_a_target_in_absolute_form_is_the_same_request(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.raw_path)

    plane.answer = answer
    reader, writer = await asyncio.open_connection("127.0.0.1", int(plane.url.rpartition(":")[2]))
    body = b'{"model": "a"}'
    writer.write(b"POST http://somewhere/v1/completions?x=1 HTTP/1.1\r\nHost: somewhere\r\nConnection: close\r\n")
    writer.write(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert (await reader.read()).endswith(b"/v1/completions?x=1")
    writer.close()
    await writer.wait_closed()


async def test_a_redirect_is_the_clients_to_follow(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/")

    plane.answer = answer
    got = await post(plane)
    assert (got.status_code, got.headers["Location"]) == (307, "http://127.0.0.1:1/")


async def test_a_body_of_many_megabytes_goes_through(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=str(len((await request.json())["x"])))

    plane.answer = answer
    assert (await post(plane, json={"model": "a", "x": "y" * 3_000_000})).text == "3000000"


async def test_a_body_over_the_limit_is_told_the_limit_in_mib(plane: DataPlane) -> None:
    got = await post(plane, json={"model": "a", "x": "y" * 2**23})
    assert got.status_code == 413
    message = "the body is larger than 8 MiB, which is the limit (setting max_body_mib)"
    assert got.json()["error"]["message"] == message


async def test_a_bug_after_the_first_byte_never_writes_a_second_head_or_a_clean_end(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10):
            await response.write(b"data: 1\n\n")
            await asyncio.sleep(0.02)
        return response

    plane.answer = answer
    body = Relay.body

    def breaks(self: Relay, data: bytes, before: bytes = b"") -> None:
        if self.bytes_out:
            raise ZeroDivisionError("a bug")
        body(self, data, before)

    monkeypatch.setattr(Relay, "body", breaks)
    got: list[bytes] = []

    async def read_all() -> None:
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("POST", f"{plane.url}/v1/completions", json=CHAT) as answered,
        ):
            got.extend([part async for part in answered.aiter_raw()])

    with pytest.raises(httpx.RemoteProtocolError):
        await read_all()
    assert plane.fleet.leases.held == 0


async def test_an_engine_cannot_pretend_to_be_a_fallback(plane: DataPlane) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"X-Rota-Fallback": "x"})

    plane.answer = answer
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", json={"model": "a"})
    assert "X-Rota-Fallback" not in got.headers


@pytest.mark.parametrize(
    ("model", "path"), [("a", "/v1/embeddings"), ("e", "/v1/chat/completions"), ("e", "/v1/completions")]
)
async def test_a_path_that_the_model_does_not_serve_is_refused_before_any_engine_is_asked_for(
    plane: DataPlane, model: str, path: str
) -> None:
    got = await post(plane, path, json={"model": model, "input": "x"})
    error = got.json()["error"]
    assert (got.status_code, error["type"], got.headers["X-Rota-Error"]) == (
        400,
        "invalid_request_error",
        "wrong_model_for_path",
    )
    assert f"does not serve {path}" in error["message"]
    assert plane.fleet.asked == []
