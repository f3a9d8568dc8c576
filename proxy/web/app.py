"""Builds the two applications and runs them: the public one on TCP, the private one on the Unix socket.

Rule: every aiohttp default that is wrong for a proxy of long streams is set here, and tests go through `runner()` too.
"""

import os
from pathlib import Path

from aiohttp import web

from proxy.web.admin import Admin
from proxy.web.forward import Forwarder
from proxy.web.gate import Gate
from proxy.web.middleware import TELLS_ALL, identify, put_own_headers, render_errors
from proxy.web.reloading import Reloading

SHUTDOWN_TIMEOUT_S = 5.0
LONGEST_SOCKET_PATH = 107
"""sockaddr_un.sun_path holds 108 bytes, the last one zero (Linux, unix(7))."""


class ListenError(Exception):
    """An address cannot be listened on."""


def public_app(forwarder: Forwarder, admin: Admin, max_body_bytes: int) -> web.Application:
    """What clients reach."""
    app = _app(max_body_bytes)
    app.add_routes([*forwarder.routes(), *admin.public_routes()])
    return app


def private_app(gate: Gate, admin: Admin, reloading: Reloading) -> web.Application:
    """What only this box's own people and processes reach."""
    app = _app(2**20)
    app[TELLS_ALL] = True
    app.add_routes([*gate.routes(), *admin.public_routes(), *admin.private_routes(), *reloading.routes()])
    return app


def runner(app: web.Application) -> web.AppRunner:
    """The production runner: a client that leaves cancels its handler, so that generation stops."""
    return web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)


async def listen_tcp(app_runner: web.AppRunner, host: str, port: int) -> None:
    """Raises: ListenError."""
    try:
        await web.TCPSite(app_runner, host, port).start()
    except OSError as error:
        what = f"cannot listen on {host}:{port} (settings listen_host and listen_port): {error.strerror}"
        raise ListenError(what) from error


async def listen_unix(app_runner: web.AppRunner, path: Path) -> None:
    """Listen where only this user can connect. Raises: ListenError."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ListenError(f"{path} is too long for a Unix socket: move the project to a shorter path")
    mask = os.umask(0o177)  # the socket must never be open to others, not even before a chmod
    try:
        await web.UnixSite(app_runner, str(path)).start()
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(mask)


def _app(max_body_bytes: int) -> web.Application:
    app = web.Application(middlewares=[identify, render_errors], client_max_size=max_body_bytes)
    app.on_response_prepare.append(put_own_headers)
    return app
