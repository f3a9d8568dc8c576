"""The door: what it answers itself is plain, and aiohttp would read the same in it; all else is aiohttp's."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings, strategies as st

from proxy.core.endpoints import ENDPOINTS, Endpoint, Key
from proxy.web import bodies, door, front
from proxy.web.asked import Asked
from proxy.web.door import Door
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request, whole
from tests.web.test_fuzz import EXAMPLES

BODY = b'{"model": "a", "n": 1}'
CHAT = "/v1/chat/completions"


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What doors have handed over."""
    seen: list[bytes] = []
    hand_over = Door._hand_over

    def note(self: Door, data: bytes) -> None:
        seen.append(data)
        hand_over(self, data)

    monkeypatch.setattr(Door, "_hand_over", note)
    return seen


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def test_plain_requests_are_answered_one_after_the_other(plane: DataPlane, handed_over: list[bytes]) -> None:
    plane.answer = echo
    async with connected(plane) as (reader, writer):
        for number in range(3):
            body = b'{"model": "a", "n": %d}' % number
            writer.write(request(body, "Connection: keep-alive"))
            assert (await reader.readuntil(body)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert not handed_over


async def test_an_error_of_the_proxys_own_keeps_the_connection(plane: DataPlane, handed_over: list[bytes]) -> None:
    plane.answer = echo
    async with connected(plane) as (reader, writer):
        writer.write(request(b'{"model": "nobody"}'))
        told = await reader.readuntil(b"}}")
        first, date, *lines = told.split(b"\r\n")
        assert (first, lines[0]) == (b"HTTP/1.1 404 Not Found", b"X-Rota-Error: model_not_found")
        sent_at = parsedate_to_datetime(date.removeprefix(b"Date: ").decode())
        assert abs(sent_at - datetime.now(UTC)) < timedelta(minutes=1)
        writer.write(request(BODY))
        await reader.readuntil(BODY)
    assert not handed_over


LARGE = b'{"x": "' + b"x" * door.LONGEST_BODY_BYTES + b'", ' + BODY[1:]
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
NOT_PLAIN = {
    "and has a large body": (request(LARGE), b""),
    "in a head of two reads": (request(BODY)[:20], request(BODY)[20:]),
    "in chunks": (request(b"", "Transfer-Encoding: chunked") + CHUNKS, b""),
    "with a query in absolute form": (request(BODY, path=f"http://x{CHAT}?a=b"), b""),
    "with a byte over ASCII": (request(BODY, "X-Name: M\u00fcller"), b""),
    "with many headers": (request(BODY, *(f"X-{number}: y" for number in range(door.MOST_HEADERS))), b""),
    "of HTTP/1.0": (request(BODY, version="1.0"), b""),
    "that closes": (request(BODY, "Connection: close"), b""),
    "that expects": (request(BODY, "Expect: 100-continue"), b""),
}


@pytest.mark.parametrize("case", NOT_PLAIN)
async def test_what_is_not_plain_is_aiohttps_and_answered_too(
    plane: DataPlane, handed_over: list[bytes], case: str
) -> None:
    plane.answer = echo
    first, rest = NOT_PLAIN[case]
    async with connected(plane, limit=2**20) as (reader, writer):
        if case not in ("of HTTP/1.0", "that closes"):  # after a plain one: the connection changes hands in its life
            writer.write(request(BODY))
            await reader.readuntil(BODY)
            assert not handed_over
        writer.write(first)
        if rest:
            await until(lambda: handed_over)
            writer.write(rest)
        got = await asyncio.wait_for(reader.readuntil(BODY[1:]), 5)
        assert got.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"))
        if case not in ("of HTTP/1.0", "that closes"):
            writer.write(request(BODY))
            await asyncio.wait_for(reader.readuntil(BODY), 5)
        else:
            assert await whole(reader) == b""
    assert handed_over == [first[: len(handed_over[0])]]


async def test_a_length_that_is_none_is_refused(plane: DataPlane) -> None:
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY, f"Content-Length: {'0' * 5000}{len(BODY)}"))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_comes_after_its_head_is_waited_for(plane: DataPlane, handed_over: list[bytes]) -> None:
    """As httpx sends it, and so OpenAI's client."""
    plane.answer = echo
    async with connected(plane) as (reader, writer):
        for _ in range(2):
            for piece in (request(BODY).removesuffix(BODY), BODY[:3], BODY[3:]):
                writer.write(piece)
                await asyncio.sleep(0.02)
            await asyncio.wait_for(reader.readuntil(BODY), 5)
    assert not handed_over


async def test_a_body_that_stops_coming_is_given_up(
    plane: DataPlane, handed_over: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(bodies, "STALLED_S", 0.2)
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY)[:-5])
        assert b"X-Rota-Error: too_slow\r\n" in await whole(reader)
    assert handed_over == [request(BODY)[:-5]]


async def test_requests_that_come_before_the_answer_are_answered_in_their_order(plane: DataPlane) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await go_on.wait()
        return await echo(request)

    plane.answer = slow
    async with connected(plane) as (reader, writer):
        for number in range(2):
            writer.write(request(b'{"model": "a", "n": %d}' % number))
            await asyncio.sleep(0.05)
        writer.write(request(b'{"model": "a", "n": 2}') + request(b'{"model": "a", "n": 3}'))
        await asyncio.sleep(0.05)
        go_on.set()
        for number in range(4):
            got = await asyncio.wait_for(reader.readuntil(b"}"), 5)
            assert got.endswith(b'{"model": "a", "n": %d}' % number)
    assert plane.fleet.leases.held == 0


async def test_who_sends_much_before_the_answer_is_not_read_until_then(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    taken_in: list[int] = []
    data_received = Door.data_received

    def note(self: Door, data: bytes) -> None:
        data_received(self, data)
        taken_in.append(len(self._later))

    monkeypatch.setattr(Door, "data_received", note)

    async def slow(request: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response(body=b"%d;" % len(await request.read()))

    plane.answer = slow
    large = b'{"model": "a", "x": "' + b"x" * 2**22 + b'"}'
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY))
        await until(lambda: taken_in)
        writer.write(request(large))
        await asyncio.sleep(0.3)
        assert door.MOST_WAITING_BYTES < max(taken_in) < 3 * door.MOST_WAITING_BYTES
        go_on.set()
        assert (await asyncio.wait_for(reader.readuntil(b"%d;" % len(BODY)), 5)).startswith(b"HTTP/1.1 200")
        assert (await asyncio.wait_for(reader.readuntil(b"%d;" % len(large)), 5)).startswith(b"HTTP/1.1 200")


async def test_a_connection_changes_hands_while_its_client_has_not_read_all(plane: DataPlane) -> None:
    """aiohttp must know that the transport is full, or it does not expect it to have room again."""
    size = 2**24

    async def large(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"x" * size)

    plane.answer = large
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY) + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write(request(BODY))
        await asyncio.sleep(0.5)
        told = b""
        async with asyncio.timeout(20):
            while told.count(b"x") < 2 * size:
                piece = await reader.read(2**18)
                assert piece
                told += piece
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert told.count(b"HTTP/1.1 404 Not Found\r\n") == 1


async def test_an_idle_connection_is_closed_in_time(plane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(front, "HEAD_TIMEOUT_S", 0.2)
    plane.answer = echo
    async with connected(plane) as (reader, writer):
        writer.write(request(BODY))
        await reader.readuntil(BODY)
        assert await whole(reader) == b""


# --- what aiohttp would read ------------------------------------------------------------------------------------------


class OneFront:
    """Forwards every POST of JSON."""

    is_closing = False

    def forget(self, door: Door) -> None:
        pass

    def take_over(self) -> asyncio.Protocol:
        return asyncio.Protocol()

    def whole_until(self) -> float:
        return 0.0

    def plain_endpoint(self, path: str) -> Endpoint | None:
        return next((one for one in ENDPOINTS if one.path == path and one.key is Key.JSON), None)


class NoTransport:
    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        pass


def plain(data: bytes) -> Asked | None:
    """What the door takes `data` for."""

    async def look() -> Asked | None:
        one = Door(cast(Any, OneFront()), 0.0)
        one._transport = cast(asyncio.Transport, NoTransport())
        found = one._take(data)
        return None if found is None else found[0]

    return asyncio.run(look())


def read_by_aiohttp(data: bytes) -> list[tuple[str, str, dict[bytes, list[bytes]], bytes]]:
    """Each request in `data`, as aiohttp's own parser sees it. Raises: HttpProcessingError."""

    async def read() -> list[tuple[str, str, dict[bytes, list[bytes]], bytes]]:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_field_size=8190, max_line_size=8190)
        messages, _, tail = parser.feed_data(data)
        assert not tail
        told = []
        for message, payload in messages:
            headers: dict[bytes, list[bytes]] = {}
            for name, value in message.raw_headers:
                headers.setdefault(name.lower(), []).append(value)
            assert payload.is_eof()
            told.append((message.method, message.path, headers, payload.read_nowait(-1)))
        return told

    return asyncio.run(read())


GOOD = st.sampled_from(
    [b"X-A: b", b"Content-Type: application/json", b"Connection: keep-alive", b"X-B:  c \t", b"X-C:"]
)
LINES = GOOD | st.sampled_from(
    [
        *(b"Host: x", b"Content-Length: 2", b"content-length:2", b"Content-Length: 02", b"Content-Length: +2"),
        *(b"Content-Length: 2, 2", b"Content-Length : 2", b"Transfer-Encoding: chunked", b"Connection: keep-alive"),
        *(
            b"Connection: x-a",
            b"X-A:  b \t",
            b"X-A: b\x00",
            b" X-A: folded",
            b"\tfolded",
            b"X A: b",
            b"no colon",
            b": b",
        ),
        *(b"X-A: b\rX-B: c", b"X-A: b\nX-B: c", b"X-A: \xff", b"X-\xc3\xbc: b", b"X-A:", b"Upgrade: h2c", b"X-A: \x7f"),
        *(
            b"Content-Type: application/json",
            b"Content-Encoding: gzip",
            b"Expect: 100-continue",
            b"X_A: b",
            b"X-\x01: b",
        ),
    ]
)
FIRST = st.just(b"POST /v1/completions HTTP/1.1") | st.sampled_from(
    [
        *(b"POST /v1/completions HTTP/1.1", b"POST /v1/completions?a=b HTTP/1.1", b"post /v1/completions HTTP/1.1"),
        *(b"POST  /v1/completions HTTP/1.1", b"POST /v1/completions  HTTP/1.1", b"POST /v1/completions HTTP/1.0"),
        *(b"POST /v1/completions#a HTTP/1.1", b"POST /v1/completions?\x01 HTTP/1.1", b"POST /v1/completions HTTP/2.0"),
        *(b"POST /v1/completions HTTP/1.1 ", b"POST\t/v1/completions HTTP/1.1", b"POST /v1/completions?\\ HTTP/1.1"),
    ]
)
BODIES = st.just(b"{}") | st.sampled_from(
    [b"{}", b"", b"{}x", b"{}\r\n", b"{}POST / HTTP/1.1\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"]
)
ENDS = st.just(b"\r\n") | st.sampled_from([b"\n", b"\r"])


@given(FIRST, st.lists(LINES, max_size=4), BODIES, ENDS, st.just(True) | st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_the_door_takes_for_plain_aiohttp_reads_the_same(
    first: bytes, lines: list[bytes], body: bytes, end: bytes, is_sound: bool
) -> None:
    sound = [b"Host: x", b"Content-Length: 2"] if is_sound else []
    data = end.join((first, *sound, *lines, b"", b"")) + body
    if (asked := plain(data)) is None:
        return
    try:
        [(method, path, headers, read)] = read_by_aiohttp(data)
    except HttpProcessingError as error:
        raise AssertionError(data) from error
    assert (method, path, read) == (asked.method, asked.target, asked.body)
    for name, value in asked.incoming.told.items():
        assert b", ".join(headers[name]) == value
    kept = [line.partition(b":") for line in asked.incoming._kept]
    assert all(value.strip(b" \t") in headers[name.lower()] for name, _, value in kept)
    assert {*asked.incoming.told, *(name.lower() for name, *_ in kept)} == set(headers)


def test_the_door_takes_what_clients_send_for_plain() -> None:
    """Otherwise the test above would see nothing."""
    asked = plain(request(b"{}", "Connection: keep-alive", "X-Stainless-Lang: python", path=f"{CHAT}?a=%20"))
    assert asked is not None
    assert (asked.target, asked.body) == (f"{CHAT}?a=%20", b"{}")
