"""What the box's own people ask: health, status, the lists of models; on the Unix socket only start, stop and sleep.

Rule: looking wakes nothing.
"""

import time

import msgspec
from aiohttp import web

from proxy.assembly import Assembled
from proxy.core.errors import InvalidRequest
from proxy.core.placement import MOST_PLANNED
from proxy.core.routing import Router
from proxy.core.states import EngineState
from proxy.reload import Reloader
from proxy.web.gate import there, who
from proxy.web.guard import CALLER
from proxy.web.middleware import TELLS_ALL
from proxy.web.status import Status


class Admin:
    """Shows the fleet, and passes on what a person wants of it."""

    def __init__(self, *, parts: Assembled, router: Router, url: str, reloader: Reloader) -> None:
        self._fleet = parts.fleet
        self._parts = parts
        self._router = router
        self._status = Status(parts, router, url, reloader)
        self._created = int(time.time())

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

    def private_routes(self) -> list[web.RouteDef]:
        """The verbs, for the Unix socket."""
        return [
            web.post("/engines/{model}/start", self.start),
            web.post("/engines/{model}/stop", self.stop),
            web.post("/engines/{model}/sleep", self.sleep),
        ]

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
        return _json(await self._status.all())

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
        """Start an engine and answer when it is ready: a request that asks for nothing. Raises: RotaError."""
        model = self._router.named(request.match_info["model"])
        async with self._fleet.leases.take(model, by_hand=who(request)):
            return _json({"model": model, "state": "ready"})

    async def stop(self, request: web.Request) -> web.Response:
        """Drain and stop an engine; the answer does not wait for the end. Raises: RotaError."""
        model = there(self._fleet, self._router, request.match_info["model"])
        self._fleet.stop(model, who(request))
        return self._accepted(model)

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


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
