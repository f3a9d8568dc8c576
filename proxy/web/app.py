"""Builds the two applications and runs them: the public one on TCP, the private one on the Unix socket.

Rule: tests go through `runner()` and `front()` too, so that what they see is what is served.
"""

import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.adapters.own_folders import made_own
from proxy.audit import Audit
from proxy.core.addresses import LONGEST_SOCKET_BYTES
from proxy.core.endpoints import ENDPOINTS, Key
from proxy.web.acts import noting
from proxy.web.admin import Admin
from proxy.web.forward import Forwarder
from proxy.web.front import Front
from proxy.web.guard import ADMIN, Guard
from proxy.web.listening import Listening, listen
from proxy.web.middleware import TELLS_ALL, identify, put_own_headers, render_errors
from proxy.web.server import SETTINGS

SHUTDOWN_TIMEOUT_S = 5.0
SMALL_BODY_BYTES = 2**20


class HasRoutes(Protocol):
    """Who handles some paths."""

    def routes(self) -> list[web.RouteDef]:
        """Which, and how."""


class ListenError(Exception):
    """An address cannot be listened on."""


def public_app(guard: Guard, audit: Audit | None, admin: Admin, *others: HasRoutes) -> web.Application:
    """What clients reach beside what `Front` finds; what people do is in the audit."""
    app = _app(SMALL_BODY_BYTES, guard.middleware(), *(() if audit is None else (noting(audit, ADMIN),)))
    app.add_routes([*admin.public_routes(), *(route for other in others for route in other.routes())])
    return app


def private_app(audit: Audit | None, admin: Admin, *others: HasRoutes) -> web.Application:
    """What only this box's own people and processes reach; what people do is in the audit."""
    app = _app(SMALL_BODY_BYTES, *(() if audit is None else (noting(audit),)))
    app[TELLS_ALL] = True
    own = [*admin.public_routes(), *admin.acts()]
    app.add_routes([*own, *(route for other in others for route in other.routes())])
    return app


def runner(app: web.Application) -> web.AppRunner:
    """The production runner: a client that leaves cancels its handler, so that generation stops."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        **SETTINGS,
    )


def front(app_runner: web.AppRunner, forwarder: Forwarder) -> Front:
    """The front of the public port, before the application of `app_runner`, which is set up."""
    server = app_runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    return Front(server, forwarder, [one for one in ENDPOINTS if one.key in (Key.JSON, Key.FORM)])


async def listen_tcp(
    accepting: Front,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    handed: Sequence[socket.socket] = (),
) -> Listening:
    """Listen until what is returned is closed; on `handed`, if they are those. Raises: ListenError."""
    try:
        return await listen(accepting, host, port, tls, handed)
    except OSError as error:
        what = f"cannot listen on {host}:{port} (settings listen_host and listen_port): {error.strerror}"
        raise ListenError(what) from error


async def listen_unix(app_runner: web.AppRunner, path: Path) -> None:
    """Listen where only this user can connect. Raises: ListenError."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_BYTES:
        raise ListenError(f"{path} is too long for a Unix socket: move the project to a shorter path")
    try:
        with made_own():
            await web.UnixSite(app_runner, str(path)).start()
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror}") from error


def _app(max_body_bytes: int, *more: Middleware) -> web.Application:
    app = web.Application(middlewares=[identify, render_errors, *more], client_max_size=max_body_bytes)
    app.on_response_prepare.append(put_own_headers)
    return app
