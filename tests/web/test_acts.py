import errno
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from proxy.adapters import audit_files
from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import read_key, segments_in
from proxy.audit import Audit
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_rows import lines_of
from proxy.core.errors import InvalidRequest
from proxy.web import app as web_app
from proxy.web.acts import noting
from proxy.web.middleware import render_errors


@asynccontextmanager
async def noted(folder: Path, *routes: web.RouteDef) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose acts are in the audit in `folder`."""
    key = read_key(folder)
    audit = Audit(AuditFiles(folder, key), Hasher(key), 2**20)
    app = web.Application(middlewares=[render_errors, noting(audit)])
    app.add_routes(routes)
    runner = web_app.runner(app)
    await runner.setup()
    await web_app.listen_unix(runner, folder / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(folder / "s.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client
    await runner.cleanup()
    audit.close()


async def test_what_people_do_is_noted_with_who_and_what_came_of_it(tmp_path: Path) -> None:
    async def stop(request: web.Request) -> web.Response:
        if request.match_info["model"] == "b":
            raise InvalidRequest("no")
        return web.Response(status=202)

    routes = (web.post("/engines/{model}/stop", stop), web.get("/status", stop), web.post("/gate/{model}", stop))
    async with noted(tmp_path, *routes) as client:
        for path in ("/engines/a/stop", "/engines/b/stop?force=1&wait=PLANTED&x=PLANTED", "/gate/a"):
            await client.post(path)
        await client.get("/status")
    acts = [line for line in lines_of(segments_in(tmp_path)) if line["kind"] == "act"]
    assert [(act["what"], act["model"]) for act in acts] == [
        ("/engines/a/stop, asked", "a"),
        ("/engines/a/stop, answered with 202", "a"),
        ("/engines/b/stop?force=1, asked", "b"),
        ("/engines/b/stop?force=1, refused", "b"),
    ]
    assert {act["who"] for act in acts} == {f"with manage_vllm.sh by {getpass.getuser()}"}


async def test_what_cannot_be_noted_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def stop(request: web.Request) -> web.Response:
        done.append(request.path)
        return web.Response(status=202)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with noted(tmp_path, web.post("/stop", stop)) as client:
        with monkeypatch.context() as patched:
            patched.setattr(audit_files.os, "write", full)
            refused = await client.post("/stop")
        assert (refused.status_code, refused.headers["X-Rota-Error"], done) == (503, "audit_failed", [])
        assert (await client.post("/stop")).status_code == 202
    assert done == ["/stop"]
