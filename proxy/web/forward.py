"""The data plane: chooses the model, takes a lease, copies the request to the engine and the answer back as it comes.

Rule: after the first byte of an answer is out, a failure aborts the client's connection; never a clean end.
"""

import errno
import io
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from catalog.spec import ModelSpec
from proxy.core import headers
from proxy.core.errors import (
    BlockedByOthers,
    DeadlineTooShort,
    EngineRefused,
    EngineStartFailed,
    EngineUnreachable,
    InvalidRequest,
    ModelTooLarge,
    RotaError,
    StoppedByHand,
)
from proxy.core.routing import EMBEDDINGS, Route, Router
from proxy.core.wire import JsonBody
from proxy.core.wishes import Wishes, deadline_s, keep_alive_s
from proxy.fleet import Fleet
from proxy.leases import Lease
from proxy.web.middleware import FALLBACK, REQUEST_ID

log = logging.getLogger(__name__)

PATHS = ("/v1/chat/completions", "/v1/completions", EMBEDDINGS)
CANNOT_BE_HAD = (EngineStartFailed, ModelTooLarge, BlockedByOthers, StoppedByHand, DeadlineTooShort)
"""For these the agent type's fallback answers; waiting too long is not among them: the time is gone. Nor is a full
queue: another engine would have to come up for it, where time is short already."""

JSON = "application/json"
CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 4.0
"""vLLM closes idle connections after 5 s: ours must go first, or a request meets a connection that is being closed."""


def engine_session() -> aiohttp.ClientSession:
    """A client for engines: aiohttp's defaults suit browsers of the web, not streams of minutes from the loopback."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        trust_env=False,
    )


class Forwarder:
    """Serves the OpenAI endpoints from the engines of `fleet`."""

    def __init__(self, fleet: Fleet, router: Router, session: aiohttp.ClientSession) -> None:
        self._fleet = fleet
        self._router = router
        self._session = session

    def __repr__(self) -> str:
        return f"<Forwarder {self._router!r}>"

    def routes(self) -> list[web.RouteDef]:
        """The paths that are forwarded."""
        return [web.post(path, self.forward) for path in PATHS]

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Forward one request. Raises: RotaError."""
        _check_type(request)
        body = JsonBody(await _read(request))
        route = self._router.route(
            model=body.text("model"),
            body_agent_type=body.text("agent_type"),
            header_agent_type=_agent_type(request),
        )
        self._router.check_path(route.model, request.path)
        wishes = Wishes(
            priority=route.priority,
            deadline_s=deadline_s(request.headers),
            keep_alive_s=keep_alive_s(body.scalar("keep_alive")),
        )
        try:
            return await self._serve(request, route, wishes, body)
        except EngineRefused as error:
            # The engine never had the request, and its end is known now: the next one may have it.
            log.info("%s: another try, request id %s", error.message, request[REQUEST_ID])
            return await self._serve(request, route, wishes, body)

    async def _serve(self, request: web.Request, route: Route, wishes: Wishes, body: JsonBody) -> web.StreamResponse:
        async with self._lease(request, route, wishes) as lease:
            spec = lease.spec
            return await self._relay(request, spec, body.for_engine(spec.name, spec.request_defaults))

    @asynccontextmanager
    async def _lease(self, request: web.Request, route: Route, wishes: Wishes) -> AsyncIterator[Lease]:
        """The lease of the route's model or, where it cannot be had, of its fallback. Raises: RotaError."""
        request.pop(FALLBACK, None)  # of a try before
        async with AsyncExitStack() as stack:
            try:
                lease = await stack.enter_async_context(self._fleet.leases.take(route.model, wishes=wishes))
            except CANNOT_BE_HAD as error:
                if route.fallback is None:
                    raise
                log.info("%s answers for %s: %s", route.fallback, route.model, error.code)
                try:
                    lease = await stack.enter_async_context(self._fleet.leases.take(route.fallback, wishes=wishes))
                except RotaError as second:
                    # Both are told of: the first is what the client asked for.
                    what = f"{error.message}\nIts fallback {route.fallback} cannot be had either: {second.message}"
                    raise type(error)(what, param=error.param, retry_after_s=error.retry_after_s) from second
                request[FALLBACK] = f"{route.fallback}; for={route.model}; because={error.code}"
            yield lease

    async def _relay(self, request: web.Request, spec: ModelSpec, body: bytes) -> web.StreamResponse:
        sent = headers.for_engine(request.headers.items(), request[REQUEST_ID])
        # Without what may stand before the path: a target in absolute form is the client's view of us.
        url = URL(f"http://127.0.0.1:{spec.port}{request.rel_url.raw_path_qs}", encoded=True)
        try:
            # A file, not bytes: aiohttp sends it piece by piece, and other requests have their turn between.
            self._fleet.leases.owed[spec.name] += 1
            try:
                answer = await self._session.request(
                    request.method, url, data=io.BytesIO(body), headers=sent, allow_redirects=False
                )
            finally:
                self._fleet.leases.owed[spec.name] -= 1
        except aiohttp.ClientConnectorError as error:
            what = f"{spec.name} could not be reached ({error.os_error.strerror})"
            if error.os_error.errno != errno.ECONNREFUSED:
                raise EngineUnreachable(what, retry_after_s=1.0) from error
            await self._fleet.refused(spec.name)
            raise EngineRefused(what, retry_after_s=1.0) from error
        except (aiohttp.ClientError, OSError) as error:
            self._fleet.look_now()
            what = f"{spec.name} ended while it had the request, before it answered ({type(error).__name__})"
            raise EngineUnreachable(what, retry_after_s=1.0) from error
        try:
            return await self._copy(request, spec, answer)
        finally:
            # Whatever is unread is not wanted: closing the connection is what makes vLLM stop generating.
            answer.close()

    async def _copy(self, request: web.Request, spec: ModelSpec, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(headers.for_client(answer.headers.items()))
        await response.prepare(request)
        while True:
            try:
                chunk = await answer.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                self._fleet.look_now()
                log.warning("%s: ended in mid-answer, request id %s: %s", spec.name, request[REQUEST_ID], error)
                if request.transport is not None:
                    request.transport.abort()
                return response
            if not chunk:
                break
            await response.write(chunk)
        await response.write_eof()
        return response


async def _read(request: web.Request) -> bytes:
    """The whole body, decompressed.

    Raises: HTTPRequestEntityTooLarge, before reading where the length is declared; InvalidRequest if it is broken.
    """
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise InvalidRequest(f"the body cannot be read: {error}") from error


def _check_type(request: web.Request) -> None:
    """Refuse what vLLM would refuse after a swap of engines. Raises: InvalidRequest."""
    if request.content_type != JSON:
        said = "the request has no Content-Type"
        if "Content-Type" in request.headers:
            said = f"the body is {request.content_type}, by its Content-Type"
        what = f"{said}: send JSON, with Content-Type: {JSON}"
        raise InvalidRequest(what)


def _agent_type(request: web.Request) -> str | None:
    """The agent type in the header. Raises: InvalidRequest if there are several that differ."""
    given = set(request.headers.getall(headers.AGENT_TYPE, []))
    if len(given) > 1:
        what = f"several headers {headers.AGENT_TYPE} that differ: {', '.join(sorted(given))}"
        raise InvalidRequest(what, param="agent_type")
    return given.pop() if given else None
