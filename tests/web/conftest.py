"""The data plane in one process: the production runner in front, a real HTTP server of the test's behind."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from aiohttp import web

from catalog.spec import AgentRoute, Agents, Catalog, ModelSpec
from proxy.adapters.key_file import KeyFile
from proxy.adapters.state_files import StateFile
from proxy.audit import Audit
from proxy.core.addresses import Trusted
from proxy.core.allowance import Used
from proxy.core.routing import Router
from proxy.core.states import Swap
from proxy.core.wishes import NO_WISHES, Wishes
from proxy.identity import Identity
from proxy.keyring import Keyring
from proxy.leases import Lease, not_up
from proxy.traffic import Traffic
from proxy.upstream.pool import Pool
from proxy.web import app as web_app
from proxy.web.forward import Forwarder
from proxy.web.front import Front
from proxy.web.guard import Guard
from proxy.web.named import Named
from proxy.web.realtime import Realtime, socket_session
from proxy.web.responses import Responses
from tests.fleet_stage import engine_keys, spec
from tests.installation import free_port
from tests.web.realtime_engine import Engine

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeFleet:
    """Grants every lease, at once unless the test says otherwise, and counts."""

    def __init__(self, model: ModelSpec) -> None:
        self.model = model
        self.leases = FakeLeases(self)
        self.looks = 0
        self.refusals = 0
        self.error: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.wishes: list[Wishes] = []

    def outlook(self, model: str) -> str:
        return f"waiting for {model}: starting, about 14 s left"

    async def refused(self, model: str) -> None:
        self.refusals += 1

    def look_now(self) -> None:
        self.looks += 1


class FakeLeases:
    """`is_at_once` is whether the engine is READY; where it is not, it becomes so when the test sets `ready`."""

    def __init__(self, fleet: FakeFleet) -> None:
        self._fleet = fleet
        self.held = 0
        self.waiting = 0
        self.owed: Counter[str] = Counter()
        self.is_at_once = True
        self.is_closing = False
        self.ready = asyncio.Event()

    def take_now(self, model: str, wishes: Wishes = NO_WISHES) -> Lease | None:
        if not self.is_at_once or self._fleet.error or self._fleet.errors.get(model):
            return None
        self._note(model, wishes)
        self.held += 1
        return Lease(1, self._spec(model), 0.0, Swap.NONE)

    def end(self, lease: Lease) -> None:
        self.held -= 1

    def is_ready(self, model: str) -> bool:
        return self.is_at_once

    def ready_specs(self) -> list[ModelSpec]:
        return [self._fleet.model] if self.is_at_once else []

    def spec(self, model: str) -> ModelSpec | None:
        return self._spec(model)

    def look(self, model: str) -> Lease:
        if not self.is_at_once:
            raise not_up(model)
        return Lease(0, self._spec(model), 0.0, Swap.NONE)

    @contextlib.asynccontextmanager
    async def take(
        self,
        model: str,
        *,
        wishes: Wishes,
        on_wait: Callable[[], None] | None = None,
        agent_type: str = "",
        key: str = "",
    ) -> AsyncIterator[Lease]:
        self._note(model, wishes)
        self.waiting += 1
        try:
            if not self.is_at_once:
                if on_wait is not None:
                    on_wait()
                await self.ready.wait()
        finally:
            self.waiting -= 1
        if error := self._fleet.error or self._fleet.errors.get(model):
            raise error
        self.held += 1
        try:
            yield Lease(1, self._spec(model), 1.25, Swap.START)
        finally:
            self.held -= 1

    def _spec(self, model: str) -> ModelSpec:
        """All models have the one engine behind."""
        return msgspec.structs.replace(self._fleet.model, name=model)

    def _note(self, model: str, wishes: Wishes) -> None:
        self._fleet.asked.append(model)
        self._fleet.wishes.append(wishes)


class DataPlane:
    """`answer` is what the engine does with a request; `url` is the proxy in front of it."""

    def __init__(self) -> None:
        self.model = msgspec.structs.replace(spec("a"), port=free_port())
        self.fleet = FakeFleet(self.model)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.traffic = Traffic()
        self.max_waiting_bytes = 2**24
        self.wait_comment_s = 0.1
        self.stream_keep_alive_s = 0.2
        self.realtime_idle_s = 0.5
        self.answer: Answer | None = None
        self.engine_runner: web.AppRunner | None = None
        self.front: Front | None = None
        self.listening: asyncio.Server | None = None
        self.keyring: Keyring | None = None
        self.tls: ssl.SSLContext | None = None
        self.audit: Audit | None = None
        self.trusted = Trusted()
        self.engine_keys = engine_keys()

    @property
    def router(self) -> Router:
        routes = {"Chat": AgentRoute(model="a"), "Claims": AgentRoute(model="claims", fallback="a")}
        claims = msgspec.structs.replace(self.model, name="claims")
        embedder = msgspec.structs.replace(self.model, name="e", embedder=True)
        models = {"a": self.model, "claims": claims, "e": embedder}
        return Router(Catalog(folder=Path("c"), models=models, agents=Agents(agent_types=routes)))

    async def stop_engine(self) -> None:
        assert self.engine_runner is not None
        await self.engine_runner.cleanup()


class NoAdmin:
    def public_routes(self) -> list[web.RouteDef]:
        return []


@pytest.fixture
async def plane() -> AsyncIterator[DataPlane]:
    plane = DataPlane()
    async with staged(plane):
        yield plane


@contextlib.asynccontextmanager
async def staged(plane: DataPlane) -> AsyncIterator[None]:
    """While in it both ends of `plane` are served."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert plane.answer is not None
        return await plane.answer(request)

    engine = web.Application(client_max_size=2**26)
    engine.router.add_route("*", "/{path:.*}", answer)
    plane.engine_runner = web.AppRunner(engine, handler_cancellation=True, shutdown_timeout=0.1)
    await plane.engine_runner.setup()
    await web.TCPSite(plane.engine_runner, "127.0.0.1", plane.model.port).start()
    guard = Guard(plane.keyring or keyring_of(Path("there are no keys")), plane.trusted)
    pool = Pool()
    local = httpx.AsyncClient(trust_env=False)
    responses = Responses(plane.fleet.leases, local, plane.engine_keys)  # type: ignore[arg-type]
    forwarder = Forwarder(
        plane.fleet,  # type: ignore[arg-type]
        plane.router,
        pool,
        plane.traffic,
        responses,
        guard,
        plane.engine_keys,
        audit=plane.audit,
        identity=Identity({"a": "a|0.32.0|flags"}),
        max_body_bytes=2**23,
        max_waiting_bytes=plane.max_waiting_bytes,
        wait_comment_s=plane.wait_comment_s,
        stream_keep_alive_s=plane.stream_keep_alive_s,
    )
    session = socket_session()
    realtime = Realtime(
        plane.fleet,  # type: ignore[arg-type]
        plane.router,
        session,
        plane.traffic,
        guard,
        plane.engine_keys,
        audit=plane.audit,
        identity=Identity({"a": "a|0.32.0|flags"}),
        idle_s=plane.realtime_idle_s,
    )
    app = web_app.public_app(guard, None, NoAdmin(), Named(forwarder, plane.router, responses), realtime)  # type: ignore[arg-type]
    runner = web_app.runner(app)
    await runner.setup()
    front = plane.front = web_app.front(runner, forwarder)
    listening = plane.listening = await web_app.listen_tcp(
        front, "127.0.0.1", int(plane.url.rpartition(":")[2]), plane.tls
    )
    yield
    listening.close()
    await front.close(0.1)
    await runner.cleanup()
    await session.close()
    responses.close()
    await local.aclose()
    pool.close()
    await plane.engine_runner.cleanup()
    await asyncio.sleep(0)


@pytest.fixture
def engine(plane: DataPlane) -> Engine:
    made = Engine()
    plane.answer = made.answer
    return made


def keyring_of(path: Path) -> Keyring:
    """The keys in the file `path`; what is used is not kept."""
    return Keyring(KeyFile(path), StateFile(path.with_name("used.json"), dict[str, Used], {}))
