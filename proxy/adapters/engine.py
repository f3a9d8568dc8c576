"""An engine's own control endpoints, by httpx and tenacity. Requests of clients do not come this way."""

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from catalog.spec import ModelSpec

POLL_S = 0.1
CALL_TIMEOUT_S = 5.0


class NotReady(Exception):
    """The engine does not answer yet, or something else answers on its port."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class EngineApi:
    """Asks engines on the loopback whether they are ready."""

    def __init__(self) -> None:
        # trust_env: a proxy from the environment must not come between us and the loopback.
        self._client = httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False)

    def __repr__(self) -> str:
        return "<EngineApi>"

    async def wait_ready(self, spec: ModelSpec) -> None:
        """Return as soon as the engine answers /health with 200 and lists its model.

        Raises: NotReady after the model's start time-out.
        """
        retrying = AsyncRetrying(
            wait=wait_fixed(POLL_S),
            stop=stop_after_delay(spec.start_timeout_s),
            retry=retry_if_exception_type(NotReady),
            reraise=True,
        )
        await retrying(self.check, spec)

    async def check(self, spec: ModelSpec) -> None:
        """Ask once. Raises: NotReady."""
        base = f"http://127.0.0.1:{spec.port}"
        try:
            health = await self._client.get(f"{base}/health")
            if health.status_code != httpx.codes.OK:
                raise NotReady(f"/health says {health.status_code}")
            models = await self._client.get(f"{base}/v1/models")
            served = [model.id for model in msgspec.json.decode(models.content, type=_Models).data]
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise NotReady(f"no answer on port {spec.port}: {error}") from error
        if spec.name not in served:
            raise NotReady(f"port {spec.port} serves {', '.join(served)}, not {spec.name}")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
