"""Keys on the public port."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import WSMsgType, web

from proxy.adapters.key_file import KeyFile
from proxy.adapters.scrypt import hashed
from proxy.core.key_acts import revoke
from proxy.core.keys import Key, Role, Secret
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane, keyring_of, staged
from tests.web.realtime_engine import Engine, connected as realtime

TEXT = "x"
HASH = hashed(TEXT)
"""One for all: it takes 50 ms."""


def key(number: int, name: str, **more: Any) -> Key:
    return Key(name=name, made_at=1.0, secrets=(Secret(f"{number:012x}", HASH, 1.0),), **more)


KEYS = [
    key(1, "all"),
    key(2, "chat", agent_types=("Chat",)),
    key(3, "by-name", models=("a",)),
    key(4, "monitor", role=Role.MONITOR, agent_types=()),
    key(5, "admin", role=Role.ADMIN),
    key(6, "one", concurrency=1),
    key(7, "few", requests_per_minute=2, tokens_per_minute=1000),
    key(8, "gone", revoked_at=2.0),
    key(9, "tokens", tokens_per_minute=20),
]
SENT = {one.name: f"sk-rota-{one.secrets[0].id}-{TEXT}" for one in KEYS}
CHAT = {"agent_type": "Chat", "messages": []}


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[DataPlane]:
    """With keys."""
    file = KeyFile(tmp_path / "keys.json")
    file.change(lambda _: {one.name: one for one in KEYS})
    plane = DataPlane()
    plane.keyring = keyring_of(file.path)
    plane.answer = echo
    async with staged(plane):
        yield plane


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"id": "resp_1", "headers": sorted(name.lower() for name in request.headers)})


async def ask(
    plane: DataPlane, name: str | None, path: str = "/v1/chat/completions", body: Any = CHAT, method: str = "POST"
) -> httpx.Response:
    headers = {} if name is None else {"Authorization": f"Bearer {SENT[name]}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(
            method, f"{plane.url}{path}", json=body if method == "POST" else None, headers=headers
        )


async def test_who_has_no_key_is_told_so_in_the_form_of_the_endpoint_and_nothing_is_done(plane: DataPlane) -> None:
    got = await ask(plane, None)
    assert (got.status_code, got.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (got.headers["WWW-Authenticate"], got.headers["X-Rota-Error"]) == ("Bearer", "invalid_api_key")
    got = await ask(plane, None, "/v1/messages")
    assert (got.status_code, got.json()["error"]["type"]) == (401, "authentication_error")
    got = await ask(plane, "gone")
    assert (got.status_code, got.json()["error"]["message"]) == (401, "the key 'gone' has been revoked")
    assert plane.fleet.asked == []
    assert {series[2] for series in plane.traffic._series} == {""}


async def test_the_key_is_known_by_either_header_and_ends_at_the_proxy(plane: DataPlane) -> None:
    for headers in ({"Authorization": f"Bearer {SENT['all']}"}, {"X-Api-Key": SENT["all"]}):
        async with httpx.AsyncClient(trust_env=False) as client:
            got = await client.post(f"{plane.url}/v1/chat/completions", json=CHAT, headers=headers)
        assert got.status_code == 200
        assert not {"x-api-key", "authorization"} & set(got.json()["headers"])


@pytest.mark.parametrize(
    ("name", "said", "status"),
    [
        ("chat", {"agent_type": "Chat"}, 200),
        ("chat", {"model": "Chat"}, 200),
        ("chat", {"model": "a"}, 403),
        ("chat", {"agent_type": "Claims"}, 403),
        ("by-name", {"model": "a"}, 200),
        ("by-name", {"agent_type": "Chat"}, 403),
        ("all", {"model": "claims"}, 200),
    ],
)
async def test_a_key_may_be_used_for_what_it_was_made_for(
    plane: DataPlane, name: str, said: dict[str, str], status: int
) -> None:
    got = await ask(plane, name, body=said | {"messages": []})
    assert got.status_code == status
    if status == 403:
        assert got.json()["error"]["message"].startswith(f"the key '{name}' may not be used for")
        assert plane.fleet.asked == []
    assert (await ask(plane, name, "/engines/a/v1/completions")).status_code == (403 if name == "chat" else 200)


@pytest.mark.parametrize("path", ["/v1/nothing", "/engines/a/v1/completions", "/v1/responses/resp_1", "/v1/realtime"])
async def test_no_path_is_forgotten(plane: DataPlane, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await ask(plane, None, path, method=method)).status_code in (401, 405)


async def test_what_looks_needs_a_key_that_may(plane: DataPlane) -> None:
    assert (await ask(plane, "chat", "/engines/a/metrics", method="GET")).status_code == 403
    assert (await ask(plane, "monitor", "/engines/a/metrics", method="GET")).status_code == 200
    assert (await ask(plane, "monitor")).status_code == 403
    for path in ("/status", "/plan", "/metrics", "/metrics/engines"):
        got = await ask(plane, "chat", path, method="GET")
        assert (got.status_code, got.headers["X-Rota-Error"]) == (403, "forbidden")
        assert (await ask(plane, "monitor", path, method="GET")).status_code == 404, "it may; it is not staged here"


async def test_a_response_is_seen_by_the_key_that_made_it_and_by_admins(plane: DataPlane) -> None:
    assert (await ask(plane, "chat", "/v1/responses", {"agent_type": "Chat", "input": "x"})).status_code == 200
    for name, status in (("chat", 200), ("all", 404), ("by-name", 404), ("admin", 200), (None, 401)):
        assert (await ask(plane, name, "/v1/responses/resp_1", method="GET")).status_code == status


async def test_of_a_response_that_another_proxy_passed_on_nobody_but_an_admin_knows_whose_it_is(
    plane: DataPlane,
) -> None:
    for name, status in (("chat", 404), ("admin", 200)):
        assert (await ask(plane, name, "/v1/responses/resp_1", method="GET")).status_code == status


async def test_so_many_at_a_time_and_no_more(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once = False
    first = asyncio.create_task(ask(plane, "one"))
    await until(lambda: plane.fleet.leases.waiting == 1)
    refused = await ask(plane, "one")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (await ask(plane, "chat", body={"model": "nobody"})).status_code == 404, "others are not held up"
    plane.fleet.leases.ready.set()
    assert (await first).status_code == 200
    assert (await ask(plane, "one")).status_code == 200


async def test_clients_are_told_what_is_left(plane: DataPlane) -> None:
    got = await ask(plane, "few")
    assert (got.headers["x-ratelimit-limit-requests"], got.headers["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert got.headers["x-ratelimit-remaining-tokens"] == "1000"
    await ask(plane, "few")
    got = await ask(plane, "few")
    assert (got.status_code, got.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    assert 1 <= int(got.headers["Retry-After"]) <= 30
    assert "x-ratelimit-limit-requests" not in (await ask(plane, "all")).headers


async def test_a_realtime_socket_needs_a_key_that_may_too(plane: DataPlane) -> None:
    plane.answer = Engine().answer
    url = f"{plane.url}/v1/realtime?model=a"
    async with aiohttp.ClientSession() as session:
        for name, status in ((None, 401), ("chat", 403)):
            headers = {} if name is None else {"Authorization": f"Bearer {SENT[name]}"}
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url, headers=headers)
            assert caught.value.status == status
        async with session.ws_connect(url, headers={"Authorization": f"Bearer {SENT['by-name']}"}) as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT


USAGE = b'"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5}'


async def telling(request: web.Request) -> web.StreamResponse:
    """As vLLM tells the usage: in a stream only to who asks for it; and as Rota's middleware in it tells the proxy."""
    asked = await request.json()
    if not asked.get("stream"):
        return web.Response(body=b'{"choices":[],%b}' % USAGE, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(asked.get("n", 2)):
        await response.write(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
    if (asked.get("stream_options") or {}).get("include_usage"):
        await response.write(b'data: {"choices":[],%b}\n\n' % USAGE)
    await response.write(b"data: [DONE]\n\n")
    if request.headers.get("X-Rota-Usage") == "tell":
        await response.write(b": rota-usage 7 5\n\n")
    return response


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
@pytest.mark.parametrize("waits", [True, False])
async def test_the_tokens_of_a_stream_are_counted_and_its_client_gets_what_it_asked_for(
    plane: DataPlane, options: dict[str, bool] | None, waits: bool
) -> None:
    plane.answer = telling
    plane.fleet.leases.is_at_once = not waits
    if waits:
        asyncio.get_running_loop().call_later(0.3, plane.fleet.leases.ready.set)
    body = CHAT | {"stream": True} | ({} if options is None else {"stream_options": options})
    got = await ask(plane, "tokens", body=body)
    lines = [line for line in got.text.splitlines() if line.startswith("data: ")]
    assert "rota-usage" not in got.text
    assert ('"usage"' in got.text) is bool(options and options["include_usage"])
    assert lines[:2] == ['data: {"choices":[{"delta":{"content":"x"}}]}'] * 2
    assert lines[-1] == "data: [DONE]"
    got = await ask(plane, "tokens", body=CHAT)
    assert 8 <= int(got.headers["x-ratelimit-remaining-tokens"]) <= 9, "20 less 12, and what has come back since"
    got = await ask(plane, "tokens", body=CHAT)
    assert (got.status_code, got.json()["error"]["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("disguise", [{"stream": 1}, {"stream": "Yes"}, {"stream": True, "x": "x" * 2**20}])
async def test_no_spelling_or_size_of_a_stream_hides_its_tokens(plane: DataPlane, disguise: dict[str, object]) -> None:
    plane.answer = telling
    headers = {"Authorization": f"Bearer {SENT['tokens']}", "X-Agent-Type": "Chat"}
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", json=CHAT | disguise, headers=headers)
    assert "rota-usage" not in got.text
    got = await ask(plane, "tokens", body=CHAT)
    assert 8 <= int(got.headers["x-ratelimit-remaining-tokens"]) <= 9, "20 less 12, and what has come back since"


async def test_of_a_stream_that_was_left_each_event_counts(plane: DataPlane) -> None:
    plane.answer = telling
    headers = {"Authorization": f"Bearer {SENT['tokens']}"}
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream(
            "POST", f"{plane.url}/v1/completions", json=CHAT | {"stream": True, "n": 10**6}, headers=headers
        ) as got,
    ):
        async for _ in got.aiter_lines():
            break
        await asyncio.sleep(0.2)
    await until(lambda: plane.fleet.leases.held == 0)
    assert (await ask(plane, "tokens")).status_code == 429


async def test_who_has_no_token_limits_has_its_stream_as_it_is(plane: DataPlane) -> None:
    plane.answer = telling
    headers = {"Authorization": f"Bearer {SENT['all']}", "X-Rota-Usage": "tell"}  # which no client may ask for
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.post(f"{plane.url}/v1/chat/completions", json=CHAT | {"stream": True}, headers=headers)
    assert got.text.count("data: ") == 3
    assert "rota-usage" not in got.text


async def test_a_response_is_gone_on_from_by_the_key_that_it_was_made_for(plane: DataPlane) -> None:
    body = CHAT | {"input": "x"}
    assert (await ask(plane, "all", "/v1/responses", body)).json()["id"] == "resp_1"
    assert (await ask(plane, "chat", "/v1/responses", body)).status_code == 200, "which says that it made it, too"
    body |= {"previous_response_id": "resp_1"}
    for name, status in (("all", 200), ("chat", 404), ("admin", 200)):
        got = await ask(plane, name, "/v1/responses", body)
        assert got.status_code == status, name
    assert got.json()["id"] == "resp_1"
    assert (await ask(plane, "all", "/v1/responses", body | {"previous_response_id": "resp_2"})).status_code == 404


async def test_a_socket_ends_with_its_key(plane: DataPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.web.sockets.LOOK_EVERY_S", 0.02)
    plane.answer = Engine().answer
    headers = {"Authorization": f"Bearer {SENT['chat']}"}
    async with realtime(plane, "?agent_type=Chat", headers=headers) as socket:
        await socket.receive()
        await asyncio.sleep(0.1)
        await socket.send_str("a")
        assert (await socket.receive()).data == "heard a"
        KeyFile(tmp_path / "keys.json").change(lambda keys: revoke(keys, "chat", 5.0))
        assert plane.keyring is not None
        assert plane.keyring.load() == ["revoked the key chat"]
        frame = await socket.receive()
        assert (frame.type, frame.data, frame.extra) == (WSMsgType.CLOSE, 1008, "the key does not hold any more")
    await until(lambda: plane.fleet.leases.held == 0)


@pytest.mark.parametrize(
    "path",
    ["/engines/nobody/health", "/v1/responses/resp_1", "/v1/realtimeX", "/v1/responses/resp_1/cancel", "/nothing"],
)
async def test_who_has_no_key_is_told_that_and_nothing_else(plane: DataPlane, path: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        got = await client.request("POST" if "cancel" in path else "GET", f"{plane.url}{path}")
    assert (got.status_code, got.json()["error"]["code"]) == (401, "invalid_api_key")
