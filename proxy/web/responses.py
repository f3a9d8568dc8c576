"""Responses that outlive the request that made them: whose they are, and the leases of those made in the background.

A response is kept by its engine, in its memory. Rule: an engine that still makes one is in use, though nobody waits for
an answer; and what this proxy does not remember, since another one passed it on, the engines are asked for.
"""

import asyncio
import logging

import httpx
import msgspec

from catalog.spec import ModelSpec
from proxy.adapters.engine_keys import EngineKeys
from proxy.leases import Leases
from proxy.web.remembered import Made, Remembered

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
LONGEST_S = 3600.0
"""An engine is not held longer than this for one response."""
CALL_TIMEOUT_S = 5.0
_UNDER_WAY = ("queued", "in_progress")


class _Response(msgspec.Struct):
    status: str = ""


class Responses:
    """The responses of `leases`' engines."""

    def __init__(self, leases: Leases, client: httpx.AsyncClient, engine_keys: EngineKeys) -> None:
        self._engine_keys = engine_keys
        self.remembered = Remembered()
        self._leases = leases
        self._client = client
        self._held: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Responses {self.remembered!r}, {len(self._held)} under way>"

    async def made(self, response_id: str) -> Made | None:
        """Whose engine has it, and by which key if it was made through this proxy; None where no READY one has it."""
        if (made := self.remembered.made(response_id)) is not None:
            return made
        for spec in self._leases.ready_specs():
            if not spec.embedder and await self._status(spec, response_id) is not None:
                return Made(spec.name, None)
        return None

    def hold(self, response_id: str, model: str) -> None:
        """`model`'s engine makes it in the background: hold the engine until it has."""
        task = asyncio.create_task(self._hold(response_id, model))
        self._held[response_id] = task
        task.add_done_callback(lambda _: self._held.pop(response_id, None))

    def close(self) -> None:
        """Hold nothing any more."""
        for task in self._held.values():
            task.cancel()

    async def _hold(self, response_id: str, model: str) -> None:
        lease = self._leases.take_now(model)
        try:
            async with asyncio.timeout(LONGEST_S):
                while True:
                    await asyncio.sleep(LOOK_EVERY_S)
                    if (spec := self._leases.spec(model)) is None:
                        return
                    if await self._status(spec, response_id) not in _UNDER_WAY:
                        return
                    if lease is None:  # its engine was full
                        lease = self._leases.take_now(model)
        except TimeoutError:
            log.warning("%s has not ended after %.0f s: %s is held for it no longer", response_id, LONGEST_S, model)
        finally:
            if lease is not None:
                self._leases.end(lease)

    async def _status(self, spec: ModelSpec, response_id: str) -> str | None:
        """None where the engine does not have it, or does not answer."""
        url = f"http://127.0.0.1:{spec.port}/v1/responses/{response_id}"
        try:
            headers = self._engine_keys.headers(spec.name)
            answer = await self._client.get(url, headers=headers, timeout=CALL_TIMEOUT_S)
            if answer.status_code != httpx.codes.OK:
                return None
            return msgspec.json.decode(answer.content, type=_Response).status
        except (httpx.HTTPError, msgspec.DecodeError):
            return None
