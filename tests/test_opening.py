"""What is found out and opened before the proxy serves; the rest is in test_keys and test_audit of the verbs."""

import asyncio
import gc
import logging
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy import opening
from proxy.adapters.audit_folder import read_head, read_key, segments_in
from proxy.core.audit_check import Whole, check
from proxy.core.audit_rows import lines_of
from proxy.history import History
from proxy.settings import Layout, Settings
from proxy.web.app import ListenError
from proxy.web.middleware import render_errors
from proxy.web.tls import TlsError
from tests.test_keyring import key, of, ring


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
async def test_without_keys_the_loopback_may_be_listened_on(
    tmp_path: Path, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    opening.check_open(of(tmp_path), Settings(listen_host=host))
    assert "there are no keys" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "a.example"])  # noqa: S104  # it must not be
async def test_without_keys_nothing_else_may_be_unless_told_twice(tmp_path: Path, host: str) -> None:
    with pytest.raises(ListenError, match="there are no keys"):
        opening.check_open(of(tmp_path), Settings(listen_host=host))
    opening.check_open(of(tmp_path), Settings(listen_host=host, open_to_all=True))
    opening.check_open(ring(tmp_path, key()), Settings(listen_host=host))


async def test_a_trusted_proxy_that_is_no_address_is_told(tmp_path: Path) -> None:
    opening.open_guard(of(tmp_path), Settings(trusted_proxies=("10.0.0.0/8", "::1")))
    with pytest.raises(ListenError, match=r"'nginx' is no address .*setting trusted_proxies"):
        opening.open_guard(of(tmp_path), Settings(trusted_proxies=("nginx",)))


@pytest.mark.parametrize(("open_to_all", "status"), [(False, 403), (True, 200)])
async def test_without_keys_who_looks_by_another_name_is_let_in_only_if_all_are(
    tmp_path: Path, open_to_all: bool, status: int
) -> None:
    async def told(_: web.Request) -> web.Response:
        return web.Response()

    guard = opening.open_guard(of(tmp_path), Settings(open_to_all=open_to_all))
    app = web.Application(middlewares=[render_errors, guard.middleware()])
    app.add_routes([web.get("/status", told), web.get("/v1/models", told), web.post("/admin/reload", told)])
    async with TestClient(TestServer(app)) as client:
        elsewhere = {"Host": "evil.example"}
        assert (await client.get("/status")).status == 200
        assert (await client.get("/status", headers=elsewhere)).status == status
        assert (await client.get("/v1/models", headers=elsewhere)).status == 200
        assert (await client.post("/admin/reload", headers=elsewhere)).status == 403


def test_a_certificate_without_its_key_is_told(tmp_path: Path) -> None:
    assert opening.open_tls(Layout(tmp_path), Settings()) is None
    with pytest.raises(TlsError, match="set both, or neither"):
        opening.open_tls(Layout(tmp_path), Settings(tls_certificate="x"))


async def test_the_audit_begins_and_ends_with_the_proxy(tmp_path: Path) -> None:
    here = Layout(tmp_path)
    async with AsyncExitStack() as stack:
        assert opening.open_audit(here, Settings(audit=False), stack) is None
        audit = opening.open_audit(here, Settings(), stack)
        assert audit is not None
        opening.note_start(audit, "a")
        opening.note_stop(audit, "a", "with supervisorctl")
        opening.note_keys(audit, ["revoked the key desk"])
        await asyncio.sleep(0)
    assert isinstance(check(segments_in(here.audit), read_head(here.audit), read_key(here.audit)), Whole)
    acts = [(line["who"], line["what"]) for line in lines_of(segments_in(here.audit)) if line["kind"] == "act"]
    assert [what.partition(",")[0] for _, what in acts] == [
        "began",
        "started",
        "stopped",
        "revoked the key desk",
        "ended",
    ]
    assert acts[0][1].endswith("with no keys")
    here.keys.parent.mkdir(parents=True)
    ring(here.keys.parent, key())
    assert opening._keys_of(here).startswith("keys whose file has the SHA-256 ")


def test_many_files_may_be_open_and_the_collector_looks_less_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before, files = gc.get_threshold(), resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opening.open_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == files[1]
        opening.spare_the_collector()
        assert gc.get_threshold()[0] == opening.COLLECT_AFTER
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


async def test_what_a_proxy_has_seen_is_there_for_the_next_one(tmp_path: Path) -> None:
    here = Layout(tmp_path)
    async with AsyncExitStack() as stack:
        first = History()
        opening.go_on_from_history(here, first, stack)
        first.strangers_hold({"card": 7}, time.time())
    async with AsyncExitStack() as stack:
        second = History()
        opening.go_on_from_history(here, second, stack)
    told = second.told(time.time())
    assert ([one.held for one in told["strangers"]], len(told["gaps"])) == ([{"card": 7}], 1)
