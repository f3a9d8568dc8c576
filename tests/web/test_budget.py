import asyncio
import json

import httpx
import pytest

from proxy.core.errors import QueueFull
from proxy.web.budget import Budget
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane
from tests.web.test_relay import quick


def test_so_many_bytes_are_held_and_no_more() -> None:
    budget = Budget(10)
    with budget.hold(6), budget.hold(4):
        assert budget.held_bytes == 10
        with pytest.raises(QueueFull, match=r"setting max_waiting_mib"), budget.hold(1):
            pass
        with budget.hold(0):
            pass
    assert budget.held_bytes == 0


def test_one_body_alone_is_always_taken() -> None:
    with Budget(10).hold(11):
        pass


async def test_waiting_requests_are_refused_once_their_bodies_take_too_much(plane: DataPlane) -> None:
    plane.fleet.leases.is_at_once, plane.answer = False, quick
    body = json.dumps({"model": "a", "prompt": "x" * (7 * 2**20)})
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:

        async def ask() -> httpx.Response:
            return await client.post(f"{plane.url}/v1/completions", content=body, headers=headers)

        waiting = [asyncio.create_task(ask()) for _ in range(2)]
        await until(lambda: plane.fleet.leases.waiting == 2)
        refused = await ask()
        assert (refused.status_code, refused.headers["X-Rota-Error"]) == (429, "queue_full")
        assert refused.headers["Retry-After"] == "5"
        plane.fleet.leases.ready.set()
        assert [(await one).status_code for one in waiting] == [200, 200]
