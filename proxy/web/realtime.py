"""vLLM's websocket, `/v1/realtime`, through the proxy: which engine, and then every frame as it comes, both ways.

The model is named in the query, in the header, or in the first `session.update`; in that case the socket is accepted
and greeted as vLLM does it, because clients wait for the greeting. Rule: a lease lasts as long as the socket, and a
socket on which nothing happens does not last for ever.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import msgspec
from aiohttp import WSMessage, WSMsgType, web

from catalog.spec import ModelSpec
from proxy.core import headers
from proxy.core.endpoints import Endpoint, Key
from proxy.core.errors import EngineUnreachable, InvalidRequest, RotaError, TooSlow, WrongModelForPath
from proxy.core.headers import Incoming
from proxy.core.routing import Router
from proxy.core.wishes import wishes_of
from proxy.fleet import Fleet
from proxy.web.sockets import join

ENDPOINT = Endpoint("GET", "/v1/realtime", Key.SOCKET)
LARGEST_FRAME_BYTES = 64 * 2**20
"""vLLM takes 25 MB of audio at once (VLLM_MAX_AUDIO_CLIP_FILESIZE_MB), which base64 makes a third larger."""
FIRST_WORD_S = 30.0
"""Within it the client has named a model."""
MOST_FRAMES_BEFORE = 16
CONNECT_TIMEOUT_S = 5.0
_UPDATE = "session.update"


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

    def __init__(self, fleet: Fleet, router: Router, session: aiohttp.ClientSession, idle_s: float) -> None:
        self._leases = fleet.leases
        self._router = router
        self._session = session
        self._idle_s = idle_s

    def __repr__(self) -> str:
        return f"<Realtime {self._router!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application."""
        return [web.get(ENDPOINT.path, self.realtime)]

    async def realtime(self, request: web.Request) -> web.StreamResponse:
        """One socket, from its request to its end. Raises: RotaError, where it has not been accepted."""
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise InvalidRequest(f"{ENDPOINT.path} is a websocket: ask for an upgrade")
        incoming = Incoming.of_pairs(request.raw_headers)
        query = request.query
        named = (query.get("model"), query.get("agent_type"), incoming.text(b"x-agent-type"))
        if not any(named):
            return await self._named_later(request, incoming)
        async with self._engine(named, incoming) as (engine, spec):
            client = await _accept(request)
            await join(client, engine, self._idle_s, lambda text: self._renamed(text, spec))
            return client

    async def _named_later(self, request: web.Request, incoming: Incoming) -> web.StreamResponse:
        client = await _accept(request)
        try:
            await client.send_str(_greeting())
            update = await _first_update(client)
            named = (_text(update, "model"), _text(update, "agent_type"), None)
            async with AsyncExitStack() as stack:
                entering = asyncio.create_task(stack.enter_async_context(self._engine(named, incoming)))
                early = await _frames_until(entering, client)
                engine, spec = await entering
                await engine.receive()  # its own greeting; the client has had one
                await engine.send_str(_encoded(update | {"model": spec.name}))
                await join(client, engine, self._idle_s, lambda text: self._renamed(text, spec), early)
        except RotaError as error:
            await _end(client, error)
        return client

    @asynccontextmanager
    async def _engine(
        self, named: tuple[str | None, str | None, str | None], incoming: Incoming
    ) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, ModelSpec]]:
        """The engine's socket, for as long as the lease lasts. Raises: RotaError."""
        route = self._router.route(*named)
        self._router.check_purpose(route.model, ENDPOINT)
        async with self._leases.take(route.model, wishes=wishes_of(incoming, route.priority, None)) as lease:
            spec = lease.spec
            try:
                engine = await self._session.ws_connect(
                    f"http://127.0.0.1:{spec.port}{ENDPOINT.path}",
                    autoping=False,
                    autoclose=False,
                    max_msg_size=LARGEST_FRAME_BYTES,
                    headers={headers.REQUEST_ID: incoming.request_id() or uuid.uuid4().hex},
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
        if _UPDATE not in text:
            return text
        try:
            event = msgspec.json.decode(text, type=dict)
            if event.get("type") != _UPDATE:
                return text
            route = self._router.route(_text(event, "model"), _text(event, "agent_type"), None)
        except (msgspec.DecodeError, RecursionError, RotaError):
            return text  # the engine says what is wrong with it
        return _encoded(event | {"model": spec.name}) if route.model == spec.name else text


async def _accept(request: web.Request) -> web.WebSocketResponse:
    client = web.WebSocketResponse(autoping=False, autoclose=False, max_msg_size=LARGEST_FRAME_BYTES, compress=False)
    await client.prepare(request)
    return client


async def _first_update(client: web.WebSocketResponse) -> dict[str, object]:
    """The first update of the session. Raises: InvalidRequest, TooSlow, ConnectionResetError if the client leaves."""
    try:
        async with asyncio.timeout(FIRST_WORD_S):
            for _ in range(MOST_FRAMES_BEFORE):
                frame = await client.receive()
                if frame.type is WSMsgType.PING:
                    await client.pong(frame.data)
                elif frame.type is WSMsgType.TEXT:
                    return _update_in(frame.data)
                elif frame.type is not WSMsgType.PONG:
                    raise ConnectionResetError("the client has gone")
    except TimeoutError as error:
        raise TooSlow(f"no session.update has come within {FIRST_WORD_S:.0f} s") from error
    raise InvalidRequest("send a session.update that names a model")


async def _frames_until(entering: asyncio.Task[object], client: web.WebSocketResponse) -> list[WSMessage]:
    """Hear the client while it waits for its engine: pings are answered, and a few frames are kept.

    Raises: ConnectionResetError if the client leaves, InvalidRequest if it sends more than is kept.
    """
    kept: list[WSMessage] = []
    hearing = asyncio.create_task(client.receive())
    try:
        while True:
            await asyncio.wait((entering, hearing), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                return kept
            frame = hearing.result()
            if frame.type is WSMsgType.PING:
                await client.pong(frame.data)
            elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                kept.append(frame)
            elif frame.type is not WSMsgType.PONG:
                raise ConnectionResetError("the client has gone")
            if len(kept) > MOST_FRAMES_BEFORE:
                raise InvalidRequest(f"more than {MOST_FRAMES_BEFORE} frames have come before the engine was ready")
            hearing = asyncio.create_task(client.receive())
    except BaseException:
        entering.cancel()
        raise
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


def _update_in(text: str) -> dict[str, object]:
    try:
        event = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the first frame is no JSON object: {error}") from error
    if event.get("type") != _UPDATE:
        raise InvalidRequest("the first frame must be a session.update that names a model")
    return event


def _text(event: dict[str, object], name: str) -> str | None:
    value = event.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string", param=name)
    return value or None


def _greeting() -> str:
    """As vLLM says it (protocol.py, SessionCreated)."""
    return _encoded({"type": "session.created", "id": f"sess-{uuid.uuid4().hex}", "created": int(time.time())})


def _encoded(event: dict[str, object]) -> str:
    return msgspec.json.encode(event).decode()


async def _end(client: web.WebSocketResponse, error: RotaError) -> None:
    """Tell the client why, as vLLM's error events do (protocol.py, ErrorEvent), and close."""
    await client.send_str(_encoded({"type": "error", "error": error.message, "code": error.code}))
    code = aiohttp.WSCloseCode.POLICY_VIOLATION if error.status < 500 else aiohttp.WSCloseCode.TRY_AGAIN_LATER
    await client.close(code=code, message=error.code.encode())
