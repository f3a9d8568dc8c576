import asyncio
import os

import httpx

from tests.web.conftest import DataPlane
from tests.web.test_admin import private

__all__ = ["private"]


async def test_the_gate_takes_the_askers_pid_from_the_kernel_and_answers_with_the_launch(
    private: tuple[object, httpx.AsyncClient],
) -> None:
    stage, client = private
    assert (await client.get("/gate/a")).json() == {"executable": "/vllm", "env": {}, "forks": False}
    asking = asyncio.create_task(client.post("/gate/a"))
    await asyncio.sleep(0.1)
    assert not asking.done(), "it has leave only when it has done what it can without"
    assert (await client.post("/gate/a/reached?method=fork")).status_code == 204
    wrong = await client.post("/gate/a/reached?method=knife")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        400,
        "'knife' is no method: fork, spawn, plain",
    )
    assert (await asking).json() == {"argv": ["vllm"], "env": {}}
    assert stage.lifecycle.done == [f"launch a {os.getpid()}"]  # type: ignore[attr-defined]


async def test_the_gate_and_the_verbs_are_not_on_the_public_side(plane: DataPlane) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for path in ("/gate/a", "/engines/a/start", "/engines/a/stop"):
            assert (await client.post(f"{plane.url}{path}")).status_code == 404
