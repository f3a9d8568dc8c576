"""TLS on the public port, with certificates of an authority of the test's own."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from aiohttp import web

from proxy.web.tls import Tls, TlsError
from tests.upstream.conftest import until
from tests.web.conftest import DataPlane, staged

CA = trustme.CA()


def write(folder: Path, ca: trustme.CA = CA) -> tuple[Path, Path]:
    """A new certificate for this host, and its key."""
    made = ca.issue_cert("127.0.0.1")
    certificate, key = folder / "chain.pem", folder / "key.pem"
    certificate.unlink(missing_ok=True)
    for blob in made.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    made.private_key_pem.write_to_path(key)
    return certificate, key


def trusting(ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@asynccontextmanager
async def served(tls: Tls) -> AsyncIterator[DataPlane]:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"data: " + b"x" * 1000 + b"\n\n")
        return response

    plane = DataPlane()
    plane.answer, plane.tls = answer, tls.context
    plane.url = plane.url.replace("http://", "https://")
    async with staged(plane):
        yield plane


async def test_requests_of_every_kind_go_over_tls(tmp_path: Path) -> None:
    async with served(Tls(*write(tmp_path))) as plane:
        url = f"{plane.url}/v1/completions"
        async with httpx.AsyncClient(verify=trusting(), trust_env=False) as client:
            for _ in range(2):
                assert (await client.post(url, json={"model": "a", "n": 1})).json() == {"model": "a", "n": 1}
            large = "x" * 2**21  # goes to aiohttp's server, on the same connection
            assert (await client.post(url, json={"model": "a", "p": large})).json()["p"] == large
            got = await client.post(url, json={"model": "a", "stream": True})
            assert got.text.count("data: ") == 200
        async with httpx.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await stranger.post(url, json={"model": "a"})


async def test_who_speaks_no_tls_gets_nowhere(tmp_path: Path) -> None:
    async with served(Tls(*write(tmp_path))) as plane, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.HTTPError):
            await client.post(plane.url.replace("https", "http") + "/v1/completions", json={"model": "a"})
    assert plane.fleet.asked == []


async def test_a_client_that_leaves_over_tls_gives_its_place_up(tmp_path: Path) -> None:
    async with served(Tls(*write(tmp_path))) as plane:
        plane.fleet.leases.is_at_once = False
        _, writer = await asyncio.open_connection("127.0.0.1", int(plane.url.rpartition(":")[2]), ssl=trusting())
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 13\r\n\r\n{"model":"a"}')
        await until(lambda: plane.fleet.leases.waiting == 1)
        writer.transport.abort()
        await until(lambda: plane.fleet.leases.waiting == 0)


async def test_a_certificate_that_was_renewed_counts_without_a_restart(tmp_path: Path) -> None:
    tls = Tls(*write(tmp_path))
    other = trustme.CA()
    async with served(tls) as plane:
        url = f"{plane.url}/v1/completions"
        async with httpx.AsyncClient(verify=trusting(), trust_env=False) as before:
            assert (await before.post(url, json={"model": "a"})).status_code == 200
            write(tmp_path, other)
            tls.look()
            assert (await before.post(url, json={"model": "a"})).status_code == 200, "an open connection goes on"
        async with httpx.AsyncClient(verify=trusting(other), trust_env=False) as after:
            assert (await after.post(url, json={"model": "a"})).status_code == 200


async def test_half_a_renewal_changes_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, key = write(tmp_path)
    tls = Tls(certificate, key)
    key.write_text(trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes().decode())
    tls.look()
    assert "goes on counting" in caplog.text
    async with served(tls) as plane, httpx.AsyncClient(verify=trusting(), trust_env=False) as client:
        assert (await client.post(f"{plane.url}/v1/completions", json={"model": "a"})).status_code == 200


async def test_what_could_not_be_read_is_tried_again_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = write(tmp_path)
    tls, sound = Tls(certificate, key), key.read_bytes()
    key.write_text("no PEM")
    times = key.stat().st_atime_ns, key.stat().st_mtime_ns
    tls.look()
    assert "goes on counting" in caplog.text
    caplog.clear()
    caplog.set_level("INFO")
    key.write_bytes(sound)
    os.utime(key, ns=times)  # as a change of its owner, or of who may read it, which leaves it as old as it was
    tls.look()
    assert "has changed and counts" in caplog.text


@pytest.mark.parametrize("which", ["chain.pem", "key.pem"])
@pytest.mark.parametrize("content", [None, "no PEM"])
def test_what_cannot_be_used_at_the_start_is_an_error_that_names_it(
    tmp_path: Path, which: str, content: str | None
) -> None:
    paths = write(tmp_path)
    if content is None:
        (tmp_path / which).unlink()
    else:
        (tmp_path / which).write_text(content)
    with pytest.raises(TlsError, match=r"chain\.pem and .*key\.pem \(settings tls_certificate and tls_key\) cannot"):
        Tls(*paths)
