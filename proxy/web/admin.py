"""What the box's own people ask: health, status, the lists of models; and, on the Unix socket only, start and stop.

Rule: looking wakes nothing.
"""

import dataclasses
import os
import time

import msgspec
from aiohttp import web

from catalog.spec import Catalog
from proxy.core.roster import EngineView
from proxy.core.routing import Router
from proxy.fleet import Fleet


class Admin:
    """Shows the fleet, and passes on what a person wants of it."""

    def __init__(
        self, *, fleet: Fleet, device_id: str, device_kind: str, catalog: Catalog, router: Router, url: str
    ) -> None:
        self._fleet = fleet
        self._device_id = device_id
        self._device_kind = device_kind
        self._catalog = catalog
        self._router = router
        self._url = url
        self._started_at = time.time()

    def __repr__(self) -> str:
        return f"<Admin {self._fleet!r}>"

    def public_routes(self) -> list[web.RouteDef]:
        """What anyone who reaches the proxy may look at."""
        return [
            web.get("/health", self.health),
            web.get("/status", self.status),
            web.get("/models", self.models),
            web.get("/v1/models", self.models),
        ]

    def private_routes(self) -> list[web.RouteDef]:
        """The verbs, for the Unix socket."""
        return [web.post("/engines/{model}/start", self.start), web.post("/engines/{model}/stop", self.stop)]

    async def health(self, _: web.Request) -> web.Response:
        """The proxy's own health, and which proxy it is."""
        return _json({"status": "ok", "proxy": self._proxy()})

    async def status(self, _: web.Request) -> web.Response:
        """Devices, reservations, engines and queue. Bytes and seconds."""
        views, ledger = self._fleet.view(), self._fleet.ledger
        held = await self._fleet.held_bytes()
        device = {
            "id": self._device_id,
            "kind": self._device_kind,
            "capacity_bytes": ledger.capacity_bytes,
            "reserved_bytes": ledger.reserved_bytes,
            "free_bytes": ledger.free_bytes,
            "reservations": dict(ledger.reservations),
        }
        queue = [
            {"model": view.model, "waiting": view.waiting, "oldest_wait_s": round(view.oldest_wait_s, 3)}
            for view in views
            if view.waiting
        ]
        return _json(
            {
                "proxy": self._proxy(),
                "devices": [device],
                "engines": [self._engine(view, held.get(view.model, 0)) for view in views],
                "queue": queue,
            }
        )

    async def models(self, _: web.Request) -> web.Response:
        """All models in OpenAI's list form, with what is Rota's own beside it."""
        listed = []
        for view in self._fleet.view():
            spec = self._catalog.models[view.model]
            listed.append(
                {
                    "id": spec.name,
                    "object": "model",
                    "created": int(self._started_at),
                    "owned_by": "rota",
                    "state": view.state,
                    "agent_types": self._catalog.agent_types_of(spec.name),
                    "aliases": list(spec.aliases),
                    "description": spec.description,
                    "max_model_len": spec.max_model_len,
                    "memory_bytes": int(spec.memory_bytes),
                }
            )
        return _json({"object": "list", "data": listed})

    async def start(self, request: web.Request) -> web.Response:
        """Start an engine and answer when it is ready: a request that asks for nothing. Raises: RotaError."""
        model = self._router.named(request.match_info["model"])
        async with self._fleet.lease(model, by_hand=True):
            return _json({"model": model, "state": "ready"})

    async def stop(self, request: web.Request) -> web.Response:
        """Drain and stop an engine; the answer does not wait for the end. Raises: RotaError."""
        model = self._router.named(request.match_info["model"])
        self._fleet.stop(model)
        state = next(view.state for view in self._fleet.view() if view.model == model)
        return _json({"model": model, "state": state}, status=202)

    def _proxy(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "url": self._url,
            "up_s": round(time.time() - self._started_at, 1),
            "catalog": str(self._catalog.folder),
        }

    def _engine(self, view: EngineView, held_bytes: int) -> dict[str, object]:
        return {
            **dataclasses.asdict(view),
            "held_bytes": held_bytes,
            "port": self._catalog.models[view.model].port,
            "pid": self._fleet.group_of(view.model),
            "agent_types": self._catalog.agent_types_of(view.model),
        }


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
