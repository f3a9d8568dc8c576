import errno
import getpass
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


async def test_what_people_do_is_noted_with_who_and_what_came_of_it(tmp_path: Path) -> None:
    key = read_key(tmp_path)
    audit = Audit(AuditFiles(tmp_path, key), Hasher(key), 2**20)

    async def stop(request: web.Request) -> web.Response:
        if request.match_info["model"] == "b":
            raise InvalidRequest("no")
        return web.Response(status=202)

    app = web.Application(middlewares=[render_errors, noting(audit)])
    app.add_routes([web.post("/engines/{model}/stop", stop), web.get("/status", stop), web.post("/gate/{model}", stop)])
    runner = web_app.runner(app)
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for path in ("/engines/a/stop", "/engines/b/stop?force=1&wait=PLANTED&x=PLANTED", "/gate/a"):
            await client.post(path)
        await client.get("/status")
    await runner.cleanup()
    audit.close()
    acts = [line for line in lines_of(segments_in(tmp_path)) if line["kind"] == "act"]
    assert [(act["what"], act["model"]) for act in acts] == [
        ("/engines/a/stop, asked", "a"),
        ("/engines/a/stop, answered with 202", "a"),
        ("/engines/b/stop?force=1, asked", "b"),
        ("/engines/b/stop?force=1, refused", "b"),
    ]
    assert {act["who"] for act in acts} == {f"with manage_vllm.sh by {getpass.getuser()}"}


async def test_what_cannot_be_noted_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = read_key(tmp_path)
    audit = Audit(AuditFiles(tmp_path, key), Hasher(key), 2**20)
    done: list[str] = []

    async def stop(request: web.Request) -> web.Response:
        done.append(request.path)
        return web.Response(status=202)

    app = web.Application(middlewares=[render_errors, noting(audit)])
    app.add_routes([web.post("/stop", stop)])
    runner = web_app.runner(app)
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        with monkeypatch.context() as patched:
            patched.setattr(audit_files.os, "write", full)
            refused = await client.post("/stop")
        assert (refused.status_code, refused.headers["X-Rota-Error"], done) == (503, "audit_failed", [])
        assert (await client.post("/stop")).status_code == 202
    assert done == ["/stop"]
    await runner.cleanup()
    audit.close()
