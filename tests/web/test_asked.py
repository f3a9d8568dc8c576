import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.core.headers import Incoming
from proxy.web.asked import Asked, Writes
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request

BODY = b'{"model": "a"}'


async def test_a_request_of_aiohttps_is_seen_as_it_came() -> None:
    head = make_mocked_request("POST", "/v1/completions?a=b", {"Host": "x", "X-Agent-Type": "Chat"})
    asked = Asked.of(head, "/v1/completions?a=b")
    assert (asked.method, asked.target, asked.incoming.told[b"x-agent-type"]) == (
        "POST",
        "/v1/completions?a=b",
        b"Chat",
    )
    assert (asked.body, asked.to_read, asked.has_chunks, asked.keeps_alive) == (None, head, True, True)


async def test_an_old_client_has_no_chunks_and_its_connection_is_not_kept() -> None:
    head = make_mocked_request("POST", "/v1/completions", {"Connection": "keep-alive"}, version=(1, 0))  # type: ignore[arg-type]
    asked = Asked.of(head, "/v1/completions")
    assert (asked.has_chunks, asked.keeps_alive) == (False, False)


async def test_a_body_that_is_at_hand_is_not_read_again() -> None:
    transport = cast(asyncio.Transport, None)
    asked = Asked("POST", "/", Incoming([]), protocol=cast(Writes, None), transport=transport, drain=wait, body=b"{}")
    with pytest.raises(RuntimeError, match="at hand"):
        _ = asked.to_read


async def wait() -> None:
    pass


async def test_a_client_that_waits_until_its_body_is_wanted_is_told_so(plane: DataPlane) -> None:
    """curl does, for a body of over a megabyte, and sends it after a second if it hears nothing."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    plane.answer = answer
    async with connected(plane) as (reader, writer):
        head = request(BODY, "Expect: 100-continue").removesuffix(BODY)
        writer.write(head)
        told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await asyncio.wait_for(reader.readuntil(BODY), 5)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_client_whose_request_is_refused_is_not_told_to_go_on(plane: DataPlane) -> None:
    async with connected(plane) as (reader, writer):
        large = request(b"", "Expect: 100-continue", f"Content-Length: {2**30}")
        writer.write(large)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 413 ")
