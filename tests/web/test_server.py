"""aiohttp's server, with our errors."""

import json

import pytest

from proxy.web.server import LOG
from tests.web.conftest import DataPlane
from tests.web.raw import connected, whole


@pytest.mark.parametrize("sent", [b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost x\r\n\r\n"])
async def test_what_is_no_http_gets_its_400_and_one_line_in_the_log(
    plane: DataPlane, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level("INFO")
    async with connected(plane) as (reader, writer):
        writer.write(sent)
        head, _, body = (await whole(reader)).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].endswith(b"400 Bad Request")
    assert b"\r\nX-Rota-Error: invalid_request\r\n" in head
    assert b"\r\nX-Request-Id: " in head
    assert json.loads(body)["error"]["message"].startswith("this cannot be read as HTTP: ")
    [record] = [one for one in caplog.records if one.name == LOG.name]
    assert record.levelname == "INFO"
    assert record.exc_info is None
    assert "Error handling request from 127.0.0.1: " in record.getMessage()
    assert record.getMessage().endswith("and is answered with 400")


async def test_what_was_sent_is_in_no_log(plane: DataPlane, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for sent in (
        b"GET / HTTP/1.1\r\nX-A: PLANTED" + b"x" * 9000 + b"\r\n\r\n",
        b"GET http://[PLANTED HTTP/1.1\r\n\r\n",
    ):
        async with connected(plane) as (reader, writer):
            writer.write(sent)
            assert b" 400 " in (await whole(reader)).splitlines()[0]
    assert "Error handling request" in caplog.text
    assert "PLANTED" not in caplog.text
