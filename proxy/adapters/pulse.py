"""Takes the pulse of engines: /health, and where somebody waits for an answer, /metrics too.

What the findings mean is decided in `proxy.core.pulse`.
"""

import asyncio

import httpx

from catalog.spec import ModelSpec
from proxy.adapters.engine_keys import EngineKeys
from proxy.core.pulse import Signs, Work, work_of

TIMEOUT_S = 1.0


class Pulse:
    """Says for how long each engine has given no sign of life. Call it about twice a second for an awake engine."""

    def __init__(self, keys: EngineKeys) -> None:
        self._keys = keys
        # Each beat opens a connection of its own: an engine that takes no new ones is not well.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(timeout=None, trust_env=False, limits=limits)  # noqa: S113  # see _get
        self._signs: dict[str, Signs] = {}

    def __repr__(self) -> str:
        return f"<Pulse of {', '.join(self._signs) or 'nobody'}>"

    async def silent_for(self, spec: ModelSpec, has_leases: bool, now: float, is_owed: bool = False) -> float:
        """Seconds since the engine's last sign of life, 0 while it is well; takes up to 2 s to find out.

        `has_leases`: look at its progress too. `is_owed`: a request was forwarded to it and no answer has begun.
        """
        signs = self._signs.setdefault(spec.name, Signs())
        if await self._get(spec, "/health") is None:
            signs.note_no_answer(now)
        else:
            signs.note_answer()
        if not has_leases:
            signs.note_idle()
        else:
            signs.note_work(await self._work(spec), is_owed, now)
        return signs.silent_for(now)

    def tokens_per_s(self, model: str) -> float:
        """How many tokens its engine generates a second; 0 where it does nothing or does not tell."""
        return self._signs[model].tokens_per_s() if model in self._signs else 0.0

    def forget(self, model: str) -> None:
        """Begin anew: its engine was stopped, or sleeps."""
        self._signs.pop(model, None)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _work(self, spec: ModelSpec) -> Work | None:
        metrics = await self._get(spec, "/metrics")
        return None if metrics is None else work_of(metrics)

    async def _get(self, spec: ModelSpec, path: str) -> str | None:
        """The text of a 200, or None: refused, late, or with another status."""
        try:
            # httpx counts its time-outs for each phase anew; this is for the whole.
            async with asyncio.timeout(TIMEOUT_S):
                headers = self._keys.headers(spec.name)
                response = await self._client.get(f"http://127.0.0.1:{spec.port}{path}", headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return None
        return response.text if response.status_code == httpx.codes.OK else None
