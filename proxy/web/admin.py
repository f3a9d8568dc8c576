"""What the box's own people ask: health, status, the lists of models; and what they do: start, stop, sleep, pin.

Rule: looking wakes nothing.
"""

import asyncio
import logging
import time

import msgspec
from aiohttp import web

from proxy.assembly import Assembled
from proxy.core.errors import InvalidRequest
from proxy.core.keys import Role
from proxy.core.placement import MOST_PLANNED
from proxy.core.routing import Router
from proxy.core.states import EngineState
from proxy.reload import Reloader
from proxy.web.gate import there
from proxy.web.guard import CALLER, IS_NEARBY
from proxy.web.middleware import TELLS_ALL
from proxy.web.queries import flag
from proxy.web.status import Status
from proxy.web.who import who

log = logging.getLogger(__name__)

REFUSED_WITHIN_S = 0.1


class Admin:
    """Shows the fleet, and passes on what a person wants of it."""

    def __init__(self, *, parts: Assembled, router: Router, url: str, reloader: Reloader) -> None:
        self._fleet = parts.fleet
        self._parts = parts
        self._router = router
        self._status = Status(parts, router, url, reloader)
        self._created = int(time.time())
        self._starting: set[asyncio.Task[None]] = set()
        """Starts that nobody waits for."""

    def __repr__(self) -> str:
        return f"<Admin {self._fleet!r}>"

    def public_routes(self) -> list[web.RouteDef]:
        """What anyone who reaches the proxy may look at."""
        return [
            web.get("/health", self.health),
            web.get("/status", self.status),
            web.get("/plan", self.plan),
            web.get("/models", self.models),
            web.get("/v1/models", self.models),
        ]

    def acts(self, prefix: str = "") -> list[web.RouteDef]:
        """The verbs, under `prefix`: the Unix socket has them without one."""
        acts = {"start": self.start, "stop": self.stop, "sleep": self.sleep, "pin": self.pin, "unpin": self.unpin}
        return [web.post(f"{prefix}/engines/{{model}}/{name}", act) for name, act in acts.items()]

    async def health(self, request: web.Request) -> web.Response:
        """The proxy's own health; to the box's own people also which proxy it is."""
        told = {"proxy": self._status.proxy()} if request.app.get(TELLS_ALL, False) else {}
        return _json({"status": "ok"} | told)

    async def status(self, request: web.Request) -> web.Response:
        """Devices, reservations, engines and queue; with `?explain=MODEL` why that one is as it is. Bytes and seconds.

        Raises: ModelNotFound.
        """
        if (model := request.query.get("explain")) is not None:
            return _json(self._fleet.explain(there(self._fleet, self._router, model)))
        return _json(await self._status.all() | {"caller": _caller(request)})

    async def plan(self, request: web.Request) -> web.Response:
        """What it would take to have all of `?model=A&model=B` up at once; nothing is done. Raises: RotaError."""
        asked = [self._router.named(model) for model in request.query.getall("model", [])]
        if not 1 <= len(asked) <= MOST_PLANNED:
            what = f"{len(asked)} models are given: name 1 to {MOST_PLANNED}, as in /plan?model=A&model=B"
            raise InvalidRequest(what, param="model")
        return _json(self._fleet.what_if(asked))

    async def models(self, request: web.Request) -> web.Response:
        """All models that the caller may use, in OpenAI's list form, with what is Rota's own beside it."""
        caller, listed = request.get(CALLER), []
        for view in self._fleet.view():
            spec = self._parts.entries.specs[view.model]
            agent_types = self._router.catalog.agent_types_of(spec.name)
            if caller is not None and not caller.key.may_see(spec.name, agent_types):
                continue
            listed.append(
                {
                    "id": spec.name,
                    "object": "model",
                    "created": self._created,
                    "owned_by": "rota",
                    "state": view.state,
                    "agent_types": agent_types,
                    "aliases": list(spec.aliases),
                    "embedder": spec.embedder,
                    "description": spec.description,
                    "max_model_len": spec.max_model_len,
                    "memory_bytes": int(spec.memory_bytes),
                }
            )
        return _json({"object": "list", "data": listed})

    async def start(self, request: web.Request) -> web.Response:
        """Start an engine and answer when it is ready: a request that asks for nothing. Raises: RotaError.

        With `?wait=false` the answer does not wait, except for a refusal that comes at once.
        """
        model = self._router.named(request.match_info["model"])
        if flag(request, "wait", "true"):
            await self._start(model, who(request))
            return _json({"model": model, "state": EngineState.READY})
        starting = asyncio.create_task(self._start(model, who(request)))
        self._starting.add(starting)
        starting.add_done_callback(self._started)
        await asyncio.wait({starting}, timeout=REFUSED_WITHIN_S)
        if starting.done():
            starting.result()
        return self._accepted(model)

    async def _start(self, model: str, by: str) -> None:
        async with self._fleet.leases.take(model, by_hand=by):
            pass

    def _started(self, starting: asyncio.Task[None]) -> None:
        """Nobody waits for it: that it failed is in /status, and said of the engine."""
        self._starting.discard(starting)
        if not starting.cancelled() and (error := starting.exception()) is not None:
            log.info("a start by hand: %s", error)

    async def stop(self, request: web.Request) -> web.Response:
        """Drain and stop an engine; the answer does not wait for the end. Raises: RotaError.

        With `?force=1` what it is answering breaks off.
        """
        model = there(self._fleet, self._router, request.match_info["model"])
        self._fleet.stop(model, who(request), at_once=flag(request, "force"))
        return self._accepted(model)

    async def pin(self, request: web.Request) -> web.Response:
        """Have an engine make room for nobody, until it is unpinned. Raises: ModelNotFound."""
        return self._pinned(request, is_pinned=True)

    async def unpin(self, request: web.Request) -> web.Response:
        """Have an engine make room for others, whatever the catalog says. Raises: ModelNotFound."""
        return self._pinned(request, is_pinned=False)

    def _pinned(self, request: web.Request, *, is_pinned: bool) -> web.Response:
        model = self._router.named(request.match_info["model"])
        self._fleet.pin(model, is_pinned=is_pinned)
        return _json({"model": model, "is_pinned": is_pinned})

    async def sleep(self, request: web.Request) -> web.Response:
        """Drain an engine and put it to sleep at `?level=`, 1 or 2; the answer does not wait. Raises: RotaError."""
        model = self._router.named(request.match_info["model"])
        if (level := request.query.get("level", "1")) not in ("1", "2"):
            raise InvalidRequest(f"level is '{level[:20]}': 1 and 2 are allowed", param="level")
        self._fleet.sleep(model, int(level), who(request))
        return self._accepted(model)

    def _accepted(self, model: str) -> web.Response:
        states = {view.model: view.state for view in self._fleet.view()}
        state = states.get(model, EngineState.STOPPED)  # it may have left for good
        return _json({"model": model, "state": state}, status=202)


def _caller(request: web.Request) -> dict[str, str]:
    """Who looks, and what he may: without keys, as what comes from this machine."""
    if (caller := request.get(CALLER)) is not None:
        return {"key": caller.key.name, "role": caller.key.role}
    return {"key": "", "role": Role.ADMIN if request.get(IS_NEARBY, True) else Role.MONITOR}


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
