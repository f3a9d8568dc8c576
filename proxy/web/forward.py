"""The data plane: chooses the model, takes a lease, copies the request to the engine and the answer back as it comes.

Rule: after the first byte of an answer is out, a failure aborts the client's connection; never a clean end.
"""

import logging

import aiohttp
from aiohttp import web
from yarl import URL

from catalog.spec import ModelSpec
from proxy.core import headers
from proxy.core.errors import EngineUnreachable
from proxy.core.routing import Router
from proxy.core.wire import JsonBody
from proxy.fleet import Fleet
from proxy.web.middleware import REQUEST_ID

log = logging.getLogger(__name__)

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
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
        body = JsonBody(await _read(request))
        model = self._router.route(
            model=body.text("model"),
            body_agent_type=body.text("agent_type"),
            header_agent_type=request.headers.get(headers.AGENT_TYPE),
        )
        async with self._fleet.lease(model) as spec:
            return await self._relay(request, spec, body.for_engine(spec.name))

    async def _relay(self, request: web.Request, spec: ModelSpec, body: bytes) -> web.StreamResponse:
        sent = headers.for_engine(request.headers.items(), request.headers.get("Connection", ""), request[REQUEST_ID])
        url = URL(f"http://127.0.0.1:{spec.port}{request.raw_path}", encoded=True)
        try:
            answer = await self._session.request(request.method, url, data=body, headers=sent)
        except (aiohttp.ClientError, OSError) as error:
            self._fleet.look_now()
            what = f"{spec.name} ended while it had the request, before it answered: {error!r}"
            raise EngineUnreachable(what, retry_after_s=1.0) from error
        try:
            return await self._copy(request, spec, answer)
        finally:
            # Whatever is unread is not wanted: closing the connection is what makes vLLM stop generating.
            answer.close()

    async def _copy(self, request: web.Request, spec: ModelSpec, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(headers.for_client(answer.headers.items(), answer.headers.get("Connection", "")))
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
    """The whole body. Raises: HTTPRequestEntityTooLarge, before reading where the length is declared."""
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    return await request.read()
