"""The keys of the running proxy."""

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import segments_in
from proxy.adapters.key_file import KeyFile
from proxy.audit import Audit
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_rows import lines_of
from proxy.web.keys import Keys
from proxy.web.middleware import render_errors
from tests.web.conftest import keyring_of
from tests.web.test_guard import key


async def test_a_changed_file_counts_when_it_is_loaded_and_a_damaged_one_never(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    keyring = keyring_of(file.path)
    (tmp_path / "audit").mkdir()
    audit = Audit(AuditFiles(tmp_path / "audit", b"k" * 32), Hasher(b"k" * 32), 2**20)
    app = web.Application(middlewares=[render_errors])
    app.add_routes(Keys(keyring, audit).routes())
    async with TestClient(TestServer(app)) as client:
        file.change(lambda _: {"desk": key(1, "desk")})
        assert keyring.is_open
        got = await client.post("/keys/load")
        assert await got.json() == {"keys": {"desk": {"tokens_today": 0, "in_flight": 0}}}
        assert not keyring.is_open
        file.path.write_text("{")
        got = await client.post("/keys/load")
        assert (got.status, (await got.json())["error"]["code"]) == (400, "keys_invalid")
        got = await client.get("/keys")
        assert "desk" in (await got.json())["keys"]
    acts = [line["what"] for line in lines_of(segments_in(tmp_path / "audit")) if line["kind"] == "act"]
    assert acts == ["made the key desk (client; all agent types and models)"]
