"""Clients that leave while they are not read."""

import asyncio

import pytest
from aiohttp import web

from proxy.web.door import MOST_WAITING_BYTES
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.raw import connected, request

LARGE_BYTES = 250_000
"""More than aiohttp takes in, and no more than the kernel takes besides: the end of what it has no room for is not
known to it either.
"""


@pytest.mark.parametrize("is_abrupt", [True, False])
async def test_a_large_upload_whose_client_leaves_gives_its_place_up(plane: DataPlane, is_abrupt: bool) -> None:
    plane.fleet.leases.is_at_once = False
    async with connected(plane) as (_, writer):
        writer.write(request(b"", "X-Agent-Type: Chat", f"Content-Length: {2**22}") + b"x" * LARGE_BYTES)
        await until(lambda: plane.fleet.leases.waiting == 1)
        await asyncio.sleep(0.3)
        assert plane.fleet.leases.waiting == 1, "who is still there keeps its place"
        if is_abrupt:
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: plane.fleet.leases.waiting == 0)


async def test_a_client_that_has_sent_much_more_and_leaves_ends_what_is_done_for_it(plane: DataPlane) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    plane.answer = never
    async with connected(plane) as (_, writer):
        writer.write(request(b'{"model": "a"}'))
        await until(lambda: plane.fleet.leases.held == 1)
        writer.write(b"x" * (MOST_WAITING_BYTES + 50_000))
        await asyncio.sleep(0.3)
        assert plane.fleet.leases.held == 1
        writer.transport.abort()
        await until(lambda: plane.fleet.leases.held == 0)
