import os
import socket
import stat
from pathlib import Path

import pytest
from aiohttp import web

from proxy.web.app import ListenError, listen_tcp, listen_unix, runner


@pytest.fixture
async def app_runner() -> web.AppRunner:
    app_runner = runner(web.Application())
    await app_runner.setup()
    return app_runner


async def test_the_unix_socket_is_for_this_user_only(app_runner: web.AppRunner, tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    await listen_unix(app_runner, tmp_path / "s.sock")
    assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
    assert os.umask(mask) == mask, "the mask of the process is as it was"
    await app_runner.cleanup()


async def test_a_socket_left_by_a_killed_proxy_is_replaced(app_runner: web.AppRunner, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "s.sock"))
    await listen_unix(app_runner, tmp_path / "s.sock")
    await app_runner.cleanup()


async def test_a_path_too_long_for_a_unix_socket_is_said_to_be(app_runner: web.AppRunner, tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="too long"):
        await listen_unix(app_runner, tmp_path / ("x" * 100) / "s.sock")
    with pytest.raises(ListenError, match="cannot listen"):
        await listen_unix(app_runner, tmp_path / "no" / "s.sock")
    await app_runner.cleanup()


async def test_an_address_that_is_taken_is_named_with_its_settings(app_runner: web.AppRunner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port} .*listen_port"):
            await listen_tcp(app_runner, "127.0.0.1", port)
    await app_runner.cleanup()
