"""The realtime socket, with an engine that greets and echoes as vLLM's would."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from proxy.core.errors import ModelTooLarge
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.realtime_engine import UPDATE, Engine, connected


def counted(plane: DataPlane) -> dict[tuple[str, str, int, str], tuple[int, int]]:
    """By model, agent type, status and outcome: the bytes from the client and to it."""
    return {key[1:]: (one.bytes_in, one.bytes_out) for key, one in plane.traffic._series.items()}


@pytest.mark.parametrize("query", ["?model=a", "?model=Chat", "?agent_type=Chat"])
async def test_with_the_model_in_the_query_every_frame_is_the_engines(
    plane: DataPlane, engine: Engine, query: str
) -> None:
    async with connected(plane, query) as socket:
        assert json.loads((await socket.receive()).data)["id"] == "engine's"
        await socket.send_str("a")
        assert (await socket.receive()).data == "heard a"
        await socket.send_bytes(b"\0" * 2**20)
        assert (await socket.receive()).data == b"\0" * 2**20
        assert plane.fleet.leases.held == 1
    await until(lambda: not plane.fleet.leases.held and not engine.is_open)


async def test_with_the_model_in_the_first_update_the_client_is_greeted_once(plane: DataPlane, engine: Engine) -> None:
    async with connected(plane) as socket:
        greeting = json.loads((await socket.receive()).data)
        assert greeting["type"] == "session.created"
        assert greeting["id"].startswith("sess-")
        assert not engine.is_open
        await socket.send_str(UPDATE)
        heard = (await socket.receive()).data
        assert json.loads(heard.removeprefix("heard ")) == {"type": "session.update", "model": "a", "x": 1}
        await socket.send_str(UPDATE.replace("Chat", "a"))
        assert json.loads((await socket.receive()).data.removeprefix("heard "))["model"] == "a"


async def test_pings_reach_the_engine_and_come_back(plane: DataPlane, engine: Engine) -> None:
    async with connected(plane, "?model=a", autoping=False) as socket:
        await socket.receive()
        await socket.ping(b"p")
        frame = await socket.receive()
        assert (frame.type, bytes(frame.data)) == (WSMsgType.PONG, b"p")


async def test_the_codes_of_closes_go_both_ways(plane: DataPlane, engine: Engine) -> None:
    async with connected(plane, "?model=a") as socket:
        await socket.receive()
        await socket.close(code=4001)
    await until(lambda: engine.closed_with is not None)
    assert engine.closed_with == 4001
    async with connected(plane, "?model=a") as socket:
        await socket.receive()
        assert engine.socket is not None
        closing = asyncio.create_task(engine.socket.close(code=4002, message=b"enough"))
        frame = await socket.receive()
        assert (frame.type, frame.data, frame.extra) == (WSMsgType.CLOSE, 4002, "enough")
        await closing
    await until(lambda: not plane.fleet.leases.held)


async def test_an_engine_that_dies_is_an_internal_error(plane: DataPlane, engine: Engine) -> None:
    async with connected(plane, "?model=a") as socket:
        await socket.receive()
        assert engine.socket is not None
        transport = engine.socket._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        frame = await socket.receive()
        assert (frame.type, frame.data) == (WSMsgType.CLOSE, 1011)
    await until(lambda: not plane.fleet.leases.held)


async def test_a_client_that_is_gone_ends_the_engines_socket_and_the_lease(plane: DataPlane, engine: Engine) -> None:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{plane.url}/v1/realtime?model=a")
        await socket.receive()
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
        await until(lambda: not engine.is_open and not plane.fleet.leases.held)


@pytest.mark.parametrize("is_polite", [True, False])
async def test_a_client_that_leaves_in_the_wait_gives_its_place_up(
    plane: DataPlane, engine: Engine, is_polite: bool
) -> None:
    plane.fleet.leases.is_at_once = False
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{plane.url}/v1/realtime", timeout=aiohttp.ClientWSTimeout(ws_close=0.1))
        await socket.receive()
        await socket.send_str(UPDATE)
        await until(lambda: plane.fleet.leases.waiting == 1)
        if is_polite:
            await socket.close()
        else:
            assert socket._response.connection is not None
            assert socket._response.connection.transport is not None
            socket._response.connection.transport.abort()
        await until(lambda: plane.fleet.leases.waiting == 0)
    assert not engine.is_open


@pytest.mark.parametrize("heartbeat_s", [None, 0.1])
async def test_a_socket_on_which_nothing_happens_is_closed(
    plane: DataPlane, engine: Engine, heartbeat_s: float | None
) -> None:
    """Pings are not what is meant: uvicorn sends them every 20 s."""
    engine.heartbeat_s = heartbeat_s
    async with connected(plane, "?model=a", heartbeat=heartbeat_s) as socket:
        await socket.receive()
        frame = await socket.receive(5)
        assert (frame.type, frame.data, frame.extra) == (WSMsgType.CLOSE, 1001, "nothing has come for 0.5 s")
    await until(lambda: not plane.fleet.leases.held)


@pytest.mark.parametrize(("query", "status"), [("?model=nobody", 404), ("?model=e", 400), ("?model=claims", 400)])
async def test_a_refusal_is_told_before_the_socket_is_accepted(plane: DataPlane, query: str, status: int) -> None:
    plane.fleet.errors["claims"] = ModelTooLarge("too large")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(plane, query):
            pass
    assert caught.value.status == status
    assert "X-Rota-Error" in (caught.value.headers or {})


async def test_an_engine_without_the_endpoint_is_the_wrong_model_and_one_that_is_gone_unreachable(
    plane: DataPlane,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404)

    plane.answer = answer
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(plane, "?model=a"):
            pass
    assert caught.value.status == 400
    await plane.stop_engine()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(plane, "?model=a"):
            pass
    assert caught.value.status == 502


async def test_a_plain_request_is_told_that_it_is_a_socket(plane: DataPlane) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/v1/realtime") as got:
        assert got.status == 400
        assert "websocket" in (await got.json())["error"]["message"]


@pytest.mark.parametrize("query", ["?agent_type=Chat", ""])
async def test_headers_and_the_request_id_reach_the_engine_and_the_client_is_told_who_answers(
    plane: DataPlane, engine: Engine, query: str
) -> None:
    given = {"X-Request-Id": "mine", "Authorization": "Bearer k", "X-Own": "1", "X-Agent-Type": "Chat" if query else ""}
    async with connected(plane, query, headers=given) as socket:
        if not query:
            await socket.send_str(UPDATE)
        await until(lambda: engine.is_open)
        told = socket._response.headers
        assert told["X-Request-Id"] == engine.headers["X-Request-Id"] == "mine"
        assert engine.headers["X-Own"] == "1"
        assert not {"Authorization", "X-Agent-Type"} & set(engine.headers)
        assert (told.get("X-Rota-Model"), told.get("X-Rota-Swap")) == (("a", "start") if query else (None, None))


async def test_what_has_passed_is_counted(plane: DataPlane, engine: Engine) -> None:
    async with connected(plane, "?agent_type=Chat") as socket:
        greeting = (await socket.receive()).data
        await socket.send_str("\xe9")
        await socket.receive()
        await socket.send_bytes(b"123")
        await socket.receive()
    await until(lambda: bool(counted(plane)))
    assert counted(plane) == {("a", "Chat", 101, "answered"): (5, len(greeting) + len("heard ") + 5)}


async def test_every_way_to_end_is_counted(plane: DataPlane, engine: Engine) -> None:
    plane.fleet.errors["claims"] = ModelTooLarge("too large")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with connected(plane, "?agent_type=Claims"):
            pass
    async with connected(plane) as socket:
        await socket.receive()
        await socket.send_str(UPDATE.replace("Chat", "Claims"))
        await socket.receive()
    async with connected(plane, "?model=a") as socket:
        await socket.receive()
        assert engine.socket is not None
        engine.socket._req.transport.abort()  # type: ignore[union-attr]
        await socket.receive()
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{plane.url}/v1/realtime?model=a")
        await socket.receive()
        socket._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: len(counted(plane)) == 4)
    assert set(counted(plane)) == {
        ("claims", "Claims", 400, "refused"),
        ("claims", "Claims", 101, "error_after_wait"),
        ("a", "", 101, "engine_failed"),
        ("a", "", 101, "client_left"),
    }
