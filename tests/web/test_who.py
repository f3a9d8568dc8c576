"""Who asks, in words: as the kernel says on the Unix socket, and on the public port as far as it is known."""

import getpass
import os
from pathlib import Path

import httpx
from aiohttp import web

from proxy.web import app as web_app
from proxy.web.who import peer, who
from tests.installation import free_port


async def test_the_kernel_says_who_is_at_the_other_end(tmp_path: Path) -> None:
    async def say(request: web.Request) -> web.Response:
        is_unix = request.transport is not None and not request.transport.get_extra_info("peername")
        return web.json_response([who(request), peer(request) if is_unix else None])

    app = web.Application()
    app.add_routes([web.get("/", say)])
    runner, port = web_app.runner(app), free_port()
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))) as client:
        said = (await client.get("http://x/")).json()
    assert said == [f"with manage_vllm.sh by {getpass.getuser()}", [os.getpid(), os.getuid()]]
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).json() == [
            "by somebody on this machine, over HTTP",
            None,
        ]
    await runner.cleanup()
