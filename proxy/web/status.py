"""What /status says: devices, reservations, engines, who answers for each agent type, who waits. Bytes and seconds."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence

from catalog.answers import answering
from proxy import VERSION, assembly
from proxy.assembly import Assembled
from proxy.core.devices import Device
from proxy.core.routing import Router
from proxy.core.views import EngineView
from proxy.reload import Reloader


class Status:
    """Looks at the fleet; looking wakes nothing."""

    def __init__(self, parts: Assembled, router: Router, url: str, reloader: Reloader) -> None:
        self._parts = parts
        self._fleet = parts.fleet
        self._router = router
        self._url = url
        self._reloader = reloader
        self._started_at = time.monotonic()

    def __repr__(self) -> str:
        return f"<Status of {self._fleet!r}>"

    async def all(self) -> dict[str, object]:
        """Everything, at this moment."""
        catalog = self._router.catalog
        missing = await asyncio.to_thread(assembly.missing, catalog)
        views, ledger, misfits = self._fleet.view(), self._fleet.ledger, self._fleet.misfits()
        waiters = self._fleet.waiters()
        why_not = _why_not(views, misfits, missing)
        return {
            "proxy": self.proxy(),
            "devices": [self._device(device) for device in self._parts.devices.devices],
            "host": {
                "for_sleepers_bytes": ledger.host_bytes,
                "pinned": dict(ledger.pinned),
                "parked": (parked := {view.model: view.parked_bytes for view in views if view.parked_bytes}),
                "free_bytes": ledger.host_free_bytes - sum(parked.values()),
            },
            "engines": [
                {**self._engine(view), "warnings": [why[view.model] for why in (misfits, missing) if view.model in why]}
                for view in views
            ],
            "agent_types": [dataclasses.asdict(one) for one in answering(catalog.agents.agent_types, why_not)],
            "queue": [
                {
                    "model": view.model,
                    "waiting": view.waiting,
                    "oldest_wait_s": round(view.oldest_wait_s, 3),
                    "first": [dataclasses.asdict(one) for one in waiters.get(view.model, ())],
                }
                for view in views
                if view.waiting
            ],
        }

    def proxy(self) -> dict[str, object]:
        """Which proxy this is, since when, with which catalog."""
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "url": self._url,
            "up_s": round(time.monotonic() - self._started_at, 1),
            "catalog": str(self._router.catalog.folder),
            "catalog_problem": self._reloader.problem,
        }

    def _device(self, device: Device) -> dict[str, object]:
        ledger = self._fleet.ledger
        strangers = ledger.strangers(device.id)
        return {
            "id": device.id,
            "name": device.name,
            "kind": device.kind,
            "total_bytes": device.total_bytes,
            "capacity_bytes": device.capacity_bytes,
            "reserved_bytes": ledger.reserved_bytes(device.id),
            "free_bytes": ledger.free_bytes(device.id),
            "reservations": ledger.reservations(device.id),
            "strangers": dataclasses.asdict(strangers),
        }

    def _engine(self, view: EngineView) -> dict[str, object]:
        memory, present = self._parts.memory, self._parts.memory.held_bytes(view.model)
        spec = self._parts.entries.specs[view.model]
        told = dataclasses.asdict(view)
        reserves = told.pop("amounts")
        return {
            **told,
            "memory": {
                "declared": dataclasses.asdict(memory.declared(view.model)),
                "learned": dataclasses.asdict(memory.learned(view.model)),
                "reserves": reserves,
                "present": present,
            },
            "memory_bytes": view.amounts.awake_bytes,
            "held_bytes": max(present.values(), default=0),
            "port": spec.port,
            "embedder": spec.embedder,
            "tokens_per_s": round(self._parts.pulse.tokens_per_s(view.model), 1),
            "pid": self._parts.groups.leader_of(view.model),
            "agent_types": self._router.catalog.agent_types_of(view.model),
        }


def _why_not(views: Sequence[EngineView], misfits: Mapping[str, str], missing: Mapping[str, str]) -> dict[str, str]:
    """Why, by model, those cannot be had that cannot, in the first line of what is known."""
    told = {view.model: f"it was stopped {view.stopped_by}" for view in views if view.stopped_by}
    told |= {view.model: view.failure for view in views if view.failure and view.is_cooling}
    return {model: why.partition("\n")[0] for model, why in {**told, **missing, **misfits}.items()}
