"""vLLM's websocket, `/v1/realtime`, through the proxy: which engine, and then every frame as it comes, both ways.

The model is named in the query, in the header, or in the first `session.update`; in that case the socket is accepted
before its engine is there. Rule: a lease lasts as long as the socket, and a socket on which nothing happens does not
last for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import msgspec
from aiohttp import web

from catalog.spec import ModelSpec
from proxy.adapters.engine_keys import EngineKeys
from proxy.audit import Audit
from proxy.core import headers
from proxy.core.errors import EngineUnreachable, InvalidRequest, RotaError, WrongModelForPath
from proxy.core.headers import Incoming
from proxy.core.routing import Router
from proxy.core.wishes import wishes_of
from proxy.fleet import Fleet
from proxy.identity import Identity
from proxy.traffic import Outcome, Traffic
from proxy.web import first_words
from proxy.web.asked import peer_of
from proxy.web.first_words import UPDATE, encoded, text_of
from proxy.web.guard import Guard
from proxy.web.sockets import join
from proxy.web.visit import ENDPOINT, Visit

LARGEST_FRAME_BYTES = 64 * 2**20
"""vLLM takes 25 MB of audio at once (VLLM_MAX_AUDIO_CLIP_FILESIZE_MB), which base64 makes a third larger."""
CONNECT_TIMEOUT_S = 5.0
GREETING_TIMEOUT_S = 10.0


def socket_session() -> aiohttp.ClientSession:
    """A client for engines' sockets: no time limits but for connecting, nothing from the environment."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


class Realtime:
    """Joins clients' sockets and engines'; one without a frame for `idle_s` is closed."""

    def __init__(
        self,
        fleet: Fleet,
        router: Router,
        session: aiohttp.ClientSession,
        traffic: Traffic,
        guard: Guard,
        engine_keys: EngineKeys,
        *,
        audit: Audit | None,
        identity: Identity,
        idle_s: float,
    ) -> None:
        self._leases = fleet.leases
        self._router = router
        self._session = session
        self._traffic = traffic
        self._guard = guard
        self._engine_keys = engine_keys
        self._audit = audit
        self._identity = identity
        self._idle_s = idle_s

    def __repr__(self) -> str:
        return f"<Realtime {self._router!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application."""
        return [web.get(ENDPOINT.path, self.realtime)]

    async def realtime(self, request: web.Request) -> web.StreamResponse:
        """One socket, from its request to its end. Raises: RotaError, where it has not been accepted."""
        incoming = Incoming.of_pairs(request.raw_headers)
        visit = Visit(request, incoming, self._guard.address(incoming, peer_of(request)), self._audit)
        try:
            if self._guard.is_closed:
                visit.caller = await self._guard.caller(visit.incoming)
            if not web.WebSocketResponse().can_prepare(request).ok:
                raise InvalidRequest(f"{ENDPOINT.path} is a websocket: ask for an upgrade")
            query = request.query
            named = (query.get("model"), query.get("agent_type"), visit.incoming.text(b"x-agent-type"))
            if not any(named):
                return await self._named_later(request, visit)
            async with self._engine(named, visit) as (engine, spec):
                client = await visit.accept(request, LARGEST_FRAME_BYTES)
                await self._join(client, engine, spec, visit)
                return client
        except RotaError as error:
            visit.refused(error)
            raise
        except (asyncio.CancelledError, ConnectionError):
            visit.outcome = Outcome.CLIENT_LEFT
            raise
        finally:
            visit.end(self._traffic)

    async def _join(
        self,
        client: web.WebSocketResponse,
        engine: aiohttp.ClientWebSocketResponse,
        spec: ModelSpec,
        visit: Visit,
        early: Sequence[aiohttp.WSMessage] = (),
    ) -> None:
        def may_still() -> bool:
            caller = self._guard.known(visit.incoming)
            return (visit.caller is None and not self._guard.is_closed) or caller is not None

        def renamed(text: str) -> str:
            return self._renamed(text, spec)

        await join(client, engine, self._idle_s, renamed, visit.passed, may_still, early)

    async def _named_later(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        client = await visit.accept(request, LARGEST_FRAME_BYTES)
        try:
            await client.send_str(first_words.greeting())
            update = await first_words.first_update(client)
            named = (text_of(update, "model"), text_of(update, "agent_type"), None)
            async with AsyncExitStack() as stack:
                entering = asyncio.create_task(stack.enter_async_context(self._engine(named, visit)))
                early = await first_words.frames_until(entering, client)
                engine, spec = await entering
                async with _soon(spec):
                    await engine.receive()  # its own greeting; the client has had one
                await engine.send_str(encoded(update | {"model": spec.name}))
                await self._join(client, engine, spec, visit, early)
        except RotaError as error:
            visit.refused(error)
            await first_words.end(client, error)
        return client

    @asynccontextmanager
    async def _engine(
        self, named: tuple[str | None, str | None, str | None], visit: Visit
    ) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, ModelSpec]]:
        """The engine's socket, for as long as the lease lasts. Raises: RotaError."""
        route = self._router.route(*named)
        visit.model, visit.agent_type = route.model, route.agent_type
        self._router.check_purpose(route.model, ENDPOINT)
        if visit.caller is not None:
            visit.let_in(visit.caller, route)
        async with self._leases.take(route.model, wishes=wishes_of(visit.incoming, route.priority, None)) as lease:
            visit.lease, spec = lease, lease.spec
            await visit.note(*self._identity.of(spec.name))
            try:
                async with _soon(spec):
                    engine = await self._session.ws_connect(
                        f"http://127.0.0.1:{spec.port}{ENDPOINT.path}",
                        autoping=False,
                        autoclose=False,
                        max_msg_size=LARGEST_FRAME_BYTES,
                        headers=[
                            *visit.incoming.for_socket(),
                            *self._engine_keys.headers(spec.name).items(),
                            (headers.REQUEST_ID, visit.request_id),
                        ],
                    )
            except aiohttp.WSServerHandshakeError as error:
                what = f"{spec.name} does not take part in {ENDPOINT.path}: its engine answers {error.status}"
                raise WrongModelForPath(what, param="model") from error
            except (aiohttp.ClientError, OSError) as error:
                raise EngineUnreachable(f"{spec.name} could not be reached", retry_after_s=1.0) from error
            try:
                yield engine, spec
            finally:
                await engine.close()

    def _renamed(self, text: str, spec: ModelSpec) -> str:
        """A frame of the client's with the served name, where it is an update that names this model otherwise."""
        if UPDATE not in text:
            return text
        try:
            event = msgspec.json.decode(text, type=dict)
            if event.get("type") != UPDATE:
                return text
            route = self._router.route(text_of(event, "model"), text_of(event, "agent_type"), None)
        except (msgspec.DecodeError, RecursionError, RotaError):
            return text  # the engine says what is wrong with it
        return encoded(event | {"model": spec.name}) if route.model == spec.name else text


@asynccontextmanager
async def _soon(spec: ModelSpec) -> AsyncIterator[None]:
    """What an engine that is well does at once. Raises: EngineUnreachable."""
    try:
        async with asyncio.timeout(GREETING_TIMEOUT_S):
            yield
    except TimeoutError as error:
        what = f"{spec.name} has not taken part in {ENDPOINT.path} within {GREETING_TIMEOUT_S:.0f} s"
        raise EngineUnreachable(what, retry_after_s=1.0) from error
