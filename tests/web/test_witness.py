"""What the audit is told of requests, on their whole way through the data plane."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web

from proxy.adapters import audit_files
from proxy.audit import Audit
from proxy.core.addresses import Trusted
from proxy.core.errors import EngineStartFailed
from proxy.core.key_errors import AuditFailed
from proxy.upstream.answer import Lost
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from tests.upstream.conftest import until
from tests.web.audited import QUESTION, answer, ask, audited, hashed, lines_in, noting
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole
from tests.web.realtime_engine import Engine


@pytest.fixture(params=[False, True], ids=["default", "strict"])
async def plane(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[DataPlane]:
    """With an audit."""
    async with audited(tmp_path, is_strict=request.param) as plane:
        yield plane


@pytest.fixture
def lines(tmp_path: Path) -> Any:
    """Reads what has been written about requests."""
    return lambda: lines_in(tmp_path)


async def test_a_request_is_two_lines_with_all_that_is_known_and_no_text(plane: DataPlane, lines: Any) -> None:
    seen: list[list[dict[str, Any]]] = []

    async def looking(request: web.Request) -> web.Response:
        seen.append(lines())
        return await answer(request)

    plane.answer = looking
    assert (await ask(plane, QUESTION)).status_code == 200
    [[begun]] = seen
    begin, end = lines()
    assert begun == begin, "it was noted before the engine had it"
    told = {name: begin[name] for name in begin if name not in ("n", "prev", "at")}
    assert told == {
        "kind": "begin",
        "id": "r1",
        "client": "127.0.0.1",
        "endpoint": "/v1/chat/completions",
        "agent_type": "Chat",
        "model": "a",
        "engine": "a|0.32.0|flags",
        "sampling": {"temperature": 0.5},
        "prompt": hashed(plane, "planted question"),
    }
    assert (end["id"], end["of"], end["outcome"], end["status"]) == ("r1", begin["n"], "answered", 200)
    assert not {"key", "endpoint", "agent_type", "model"} & end.keys(), "its beginning says that"
    assert (end["prompt_tokens"], end["answer_tokens"]) == (7, 5)
    assert end["answer"] == hashed(plane, "planted answer")
    assert end["total_s"] >= end["first_byte_s"] >= end["waited_s"] == 0


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_of_a_stream_the_whole_text_is_hashed_before_its_client_has_the_end(
    plane: DataPlane, lines: Any, version: str
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in ("planted ", "ans", "wer"):
            told = json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]})
            await response.write(f"data: {told}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        assert request.headers["X-Rota-Usage"] == "tell"
        await response.write(b": rota-usage 7 5\n\n")
        return response

    plane.answer = stream
    async with connected(plane) as (reader, writer):
        writer.write(request(json.dumps(QUESTION | {"stream": True}).encode(), version=version))
        raw = await whole(reader) if version == "1.0" else await reader.readuntil(b"0\r\n\r\n")
        _, end = lines()
    assert raw.endswith(b"[DONE]\n\n" if version == "1.0" else b"[DONE]\n\n\r\n0\r\n\r\n")
    assert end["answer"] == hashed(plane, "planted answer")
    assert (end["prompt_tokens"], end["answer_tokens"], end["status"]) == (7, 5, 200)


async def test_a_client_is_who_a_trusted_proxy_says_it_is(plane: DataPlane, lines: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    async def looking(request: web.Request) -> web.Response:
        seen.extend(name.lower() for name in request.headers)
        return await answer(request)

    plane.answer = looking
    async with httpx.AsyncClient(trust_env=False) as client:
        for peers in ((), ("127.0.0.0/8",)):
            plane.trusted = Trusted(peers)
            assert plane.front is not None
            plane.front._forwarder._guard._trusted = plane.trusted
            headers = {"X-Forwarded-For": "6.6.6.6, 1.2.3.4", "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6"}
            await client.post(f"{plane.url}/v1/chat/completions", json=QUESTION, headers=headers)
    assert [line["client"] for line in lines() if line["kind"] == "begin"] == ["127.0.0.1", "1.2.3.4"]
    assert not [name for name in seen if name.startswith("x-forwarded") or name == "x-real-ip"]


def refusing_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the engine refuse the next connection, and none after it; returns how many are tried, as one number."""
    opened, tries = Pool.open, [0]

    async def refused(pool: Pool, port: int) -> Any:
        tries[0] += 1
        if tries[0] == 1:
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        return await opened(pool, port)

    monkeypatch.setattr(Pool, "open", refused)
    return tries


async def test_after_an_engine_that_refused_the_answer_of_the_next_is_seen_once(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = refusing_once(monkeypatch)
    plane.answer = answer
    assert (await ask(plane, QUESTION)).status_code == 200
    assert (tries, plane.fleet.refusals) == ([2], 1)
    [begin, end] = lines()
    assert end["of"] == begin["n"]
    assert end["answer"] == hashed(plane, "planted answer")


async def test_of_several_messages_and_answers_each_has_its_hash(plane: DataPlane, lines: Any) -> None:
    async def two(request: web.Request) -> web.Response:
        return web.json_response({"choices": [{"text": "planted one"}, {"text": "planted two"}]})

    plane.answer = two
    await ask(plane, {"model": "a", "prompt": ["planted a", "planted b"]}, "/v1/completions")
    begin, end = lines()
    assert begin["messages"] == [hashed(plane, "planted a"), hashed(plane, "planted b")]
    assert begin["prompt"] == hashed(plane, "planted aplanted b")
    assert end["answers"] == [hashed(plane, "planted one"), hashed(plane, "planted two")]


async def test_of_what_goes_through_unread_all_bytes_are_hashed(plane: DataPlane, lines: Any) -> None:
    async def reads(request: web.Request) -> web.Response:
        await request.read()
        return await answer(request)

    plane.answer = reads
    assert plane.audit is not None
    large = json.dumps({"messages": [{"content": "planted " * 2**18}]})
    form = (
        b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n'
        b'--X\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nplanted prompt\r\n'
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nplanted\x00sound\r\n--X--\r\n'
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"X-Agent-Type": "Chat", "Content-Type": "application/json"}
        await client.post(f"{plane.url}/v1/chat/completions", content=large, headers=headers)
        headers = {"Content-Type": "multipart/form-data; boundary=X"}
        got = await client.post(f"{plane.url}/v1/audio/transcriptions", content=form, headers=headers)
        assert got.status_code == 200
    of = plane.audit.hasher.of
    json_end, form_end = (line for line in lines() if line["kind"] == "end")
    assert json_end["body"] == of(large)
    assert (json_end["prompt"], json_end.get("messages")) == (of("planted " * 2**18), None)
    assert form_end["body"] == of(form.decode())
    assert form_end["messages"] == [of("a"), of("planted prompt"), of("planted\x00sound")]


async def test_what_is_refused_is_one_line(plane: DataPlane, lines: Any) -> None:
    assert (await ask(plane, {"model": "nobody"})).status_code == 404
    plane.fleet.error = EngineStartFailed("planted detail")
    assert (await ask(plane, QUESTION)).status_code == 503
    first, second = lines()
    assert (first["kind"], first["status"], first["error"], first["outcome"]) == (
        "end",
        404,
        "model_not_found",
        "refused",
    )
    assert (second["status"], second["error"], second["model"]) == (503, "engine_start_failed", "a")
    assert first["client"] == second["client"] == "127.0.0.1", "no other line says who it was"


async def test_an_engine_that_fails_and_a_client_that_leaves_are_told_apart(plane: DataPlane, lines: Any) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as (_, writer):
        writer.write(request(json.dumps(QUESTION).encode()))
        await until(lambda: plane.fleet.leases.waiting == 1)
    await until(lambda: len(lines()) == 1)
    plane.fleet.leases.is_at_once = True
    await plane.stop_engine()
    assert (await ask(plane, QUESTION)).status_code == 502
    left, *_, failed = lines()
    assert (left["outcome"], left["status"]) == ("client_left", 499)
    assert (failed["kind"], failed["status"], failed["error"]) == ("end", 502, "engine_refused")


async def test_where_the_audit_cannot_be_signed_nothing_is_forwarded(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = noting(plane)
    why = AuditFailed("planted", retry_after_s=10.0)
    monkeypatch.setattr(Audit, "why_unsigned", property(lambda _: why))
    got = await ask(plane, QUESTION)
    assert (got.status_code, got.headers["X-Rota-Error"], reached) == (503, "audit_failed", [])
    assert [line["status"] for line in lines()] == [503]


async def test_where_the_audit_cannot_be_written_nothing_is_forwarded(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = noting(plane)
    write, is_full = audit_files.os.write, [True]

    def full(fd: int, data: bytes) -> int:
        if is_full[0] and b'"kind"' in data:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(audit_files.os, "write", full)
    got = await ask(plane, QUESTION)
    assert (got.status_code, got.headers["X-Rota-Error"], got.headers["Retry-After"]) == (503, "audit_failed", "10")
    assert plane.audit is not None
    assert (reached, plane.fleet.leases.held, plane.audit.lost) == ([], 0, 2)
    is_full[0] = False
    assert (await ask(plane, QUESTION)).status_code == 200


async def test_many_at_once_are_all_there(plane: DataPlane, lines: Any) -> None:
    plane.answer = answer
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = (client.post(f"{plane.url}/v1/chat/completions", json=QUESTION) for _ in range(50))
        assert {got.status_code for got in await asyncio.gather(*asked)} == {200}
    ids = [line["id"] for line in lines() if line["kind"] == "end"]
    assert len(set(ids)) == 50


async def test_a_realtime_socket_is_noted_too(plane: DataPlane, lines: Any) -> None:
    plane.answer = Engine().answer
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{plane.url}/v1/realtime?agent_type=Chat", headers={"X-Request-Id": "r1"}) as socket,
    ):
        await socket.receive()
        [begin] = lines()
    assert (begin["id"], begin["endpoint"], begin["agent_type"]) == ("r1", "/v1/realtime", "Chat")
    await until(lambda: len(lines()) == 2)
    assert (lines()[1]["of"], lines()[1]["outcome"], lines()[1]["status"]) == (begin["n"], "answered", 101)


async def test_a_realtime_socket_that_is_refused_is_noted_as_any_request(plane: DataPlane, lines: Any) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{plane.url}/v1/realtime?model=nobody")
    [end] = lines()
    assert (end["kind"], end["status"], end["error"], end["outcome"]) == ("end", 404, "model_not_found", "refused")


async def test_to_an_engine_that_is_asked_again_a_request_has_begun_once(
    plane: DataPlane, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its idle connection was dropped, and then it refused the next one; the engine after it answers."""
    plane.answer = answer
    assert (await ask(plane, QUESTION)).status_code == 200
    refusing_once(monkeypatch)
    assert plane.engine_runner is not None
    begin = Connection.begin

    def drops(connection: Connection, relay: Any, *given: Any, **more: Any) -> None:
        monkeypatch.setattr(Connection, "begin", begin)
        relay.lost(Lost("closed", was_never_read=True))

    monkeypatch.setattr(Connection, "begin", drops)
    assert (await ask(plane, QUESTION)).status_code == 200
    kinds = [(line["kind"], line.get("of")) for line in lines()][2:]
    assert kinds == [("begin", None), ("end", lines()[2]["n"])]
