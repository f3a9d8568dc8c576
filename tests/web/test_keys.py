"""The keys of the running proxy."""

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.adapters.key_file import KeyFile
from proxy.web.keys import Keys
from proxy.web.middleware import render_errors
from tests.web.conftest import keyring_of
from tests.web.test_guard import key


async def test_a_changed_file_counts_when_it_is_loaded_and_a_damaged_one_never(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    keyring = keyring_of(file.path)
    app = web.Application(middlewares=[render_errors])
    app.add_routes(Keys(keyring).routes())
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
