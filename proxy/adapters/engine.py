"""An engine's own control endpoints, by httpx and tenacity. Requests of clients do not come this way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import httpx
import msgspec

from catalog.spec import ModelSpec
from proxy.adapters import readiness
from proxy.adapters.engine_keys import EngineKeys
from proxy.adapters.ports import listens
from proxy.adapters.readiness import NotReady as NotReady
from proxy.core.probe import PROBE_TEXT, Answer, answer_of_vector
from proxy.core.pulse import samples

POLL_S = 0.1
CALL_TIMEOUT_S = 5.0
MOST_SAID = 300
"""Characters of an engine's answer that go into an error."""

SLEEP_STATE = "vllm:engine_sleep_state"
IN_FLIGHT = "vllm:sleep_mode_operations_in_flight"
IN_FLIGHT_S = 30.0
"""How long a sleep or a wake that somebody else began may still take."""


class EngineError(Exception):
    """An engine answered a control call wrongly, or not in time."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class _Sleeping(msgspec.Struct):
    is_sleeping: bool


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: Annotated[list[_Embedding], msgspec.Meta(min_length=1)]


class _Choice(msgspec.Struct):
    text: str


class _Completion(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


class EngineApi:
    """Talks to engines on the loopback: are they ready, sleep, wake, and the probe."""

    def __init__(self, keys: EngineKeys, listens: Callable[[int], Awaitable[bool]] = listens) -> None:
        self._keys = keys
        self._listens = listens
        # trust_env: a proxy from the environment must not come between us and the loopback.
        # No connection is kept: vLLM closes idle ones after 5 s, and a POST could meet that.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False, limits=limits)

    def __repr__(self) -> str:
        return "<EngineApi>"

    async def wait_ready(self, spec: ModelSpec) -> None:
        """Return as soon as the engine answers /health with 200 and lists its model.

        Raises: NotReady after the model's start time-out.
        """
        await readiness.wait(spec, self._listens, self.check)

    async def check(self, spec: ModelSpec) -> None:
        """Ask once. Raises: NotReady."""
        try:
            headers = self._keys.headers(spec.name)
            health = await self._client.get(_url(spec, "/health"), headers=headers)
            if health.status_code != httpx.codes.OK:
                raise NotReady(f"/health says {health.status_code}")
            models = await self._client.get(_url(spec, "/v1/models"), headers=headers)
            served = [model.id for model in msgspec.json.decode(models.content, type=_Models).data]
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise NotReady(f"no answer on port {spec.port}: {error}") from error
        if spec.name not in served:
            raise NotReady(f"port {spec.port} serves {', '.join(served)}, not {spec.name}")

    async def sleep(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        """Put the engine to sleep once its running requests are done. At the same level already: nothing happens.

        Raises: EngineError.
        """
        async with _within(timeout_s, f"sleep at level {level}"):
            # vLLM takes a second /sleep for a no-op, but notes its level in the gauge: woken by that, it would talk
            # garbage. Source: vLLM 0.32, v1/executor/abstract.py sleep, v1/engine/async_llm.py sleep.
            if await self._is_sleeping(spec) and await self._gauged_level(spec) not in (None, level):
                raise EngineError(f"it sleeps already, and not at level {level}")
            # The default mode would abort running requests; the query is the only place that is read.
            await self._call(spec, "POST", f"/sleep?level={level}&mode=wait")
            if not await self._is_sleeping(spec):
                raise EngineError("/sleep was answered with 200, but it is awake")

    async def wake(self, spec: ModelSpec, level: int, timeout_s: float) -> None:
        """Wake the engine from `level`. A level that is not known is treated as 2, which is right for 1 too.

        Raises: EngineError.
        """
        async with _within(timeout_s, f"wake from level {level}"):
            if level == 1:
                await self._call(spec, "POST", "/wake_up")
            else:
                # After level 2 the weights are gone: a plain /wake_up says 200 and the engine talks garbage
                # (vllm-project/vllm#54235). The KV cache comes last: loading needs room.
                await self._call(spec, "POST", "/wake_up?tags=weights")
                await self._call(spec, "POST", "/collective_rpc", {"method": "reload_weights"})
                await self._call(spec, "POST", "/wake_up?tags=kv_cache")
            if await self._is_sleeping(spec):
                raise EngineError("/wake_up was answered with 200, but it is asleep")
            await self._call(spec, "GET", "/health")

    async def sleep_level(self, spec: ModelSpec) -> int:
        """0: awake, or without sleep mode; 1; 2: asleep at level 2, or it cannot be told.

        A sleep or a wake that somebody began is waited for: the proxy before us may have been killed in the midst of
        one, and vLLM goes on with it. Half awake it keeps the level that it was put to sleep with. Source: vLLM 0.32,
        v1/engine/async_llm.py wake_up: the gauge changes with the last tag only.

        Raises: EngineError where it does not answer.
        """
        async with _within(IN_FLIGHT_S, "the sleep or wake that is under way"):
            if (await self._send(spec, "GET", "/is_sleeping")).status_code == httpx.codes.NOT_FOUND:
                return 0
            while await self._is_changing(spec):  # noqa: ASYNC110  # another process's doing: there is no event
                await asyncio.sleep(POLL_S)
        async with _within(CALL_TIMEOUT_S, "/is_sleeping"):
            if not await self._is_sleeping(spec):
                return 0
            return await self._gauged_level(spec) or 2

    async def probe(self, spec: ModelSpec, timeout_s: float) -> Answer:
        """Ask a short question whose answer is always the same. Raises: EngineError."""
        async with _within(timeout_s, "the probe"):
            try:
                return await self._embed(spec) if spec.embedder else await self._complete(spec)
            except (msgspec.DecodeError, ValueError) as error:
                raise EngineError(f"the probe was answered with no usable answer: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _embed(self, spec: ModelSpec) -> Answer:
        said = await self._ask(spec, "/v1/embeddings", {"model": spec.name, "input": PROBE_TEXT})
        return answer_of_vector(msgspec.json.decode(said, type=_Embeddings).data[0].embedding)

    async def _complete(self, spec: ModelSpec) -> Answer:
        # min_tokens: the end of the text may not be the first token, so that no answer is rightly empty.
        question = {"prompt": PROBE_TEXT, "max_tokens": 8, "min_tokens": 1, "temperature": 0, "seed": 0}
        said = await self._ask(spec, "/v1/completions", {"model": spec.name, **question})
        text = msgspec.json.decode(said, type=_Completion).choices[0].text
        if not text:
            raise EngineError("the probe was answered with an empty text")
        return Answer(text=text)

    async def _ask(self, spec: ModelSpec, path: str, body: dict[str, object]) -> bytes:
        response = await self._send(spec, "POST", path, body)
        if response.status_code != httpx.codes.OK:
            raise EngineError(f"the probe was answered with {_said(response)}")
        return response.content

    async def _is_sleeping(self, spec: ModelSpec) -> bool:
        response = await self._send(spec, "GET", "/is_sleeping")
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        if response.status_code != httpx.codes.OK:
            raise EngineError(f"/is_sleeping was answered with {_said(response)}")
        try:
            return msgspec.json.decode(response.content, type=_Sleeping).is_sleeping
        except msgspec.DecodeError as error:
            raise EngineError(f"/is_sleeping was answered with {_said(response)}") from error

    async def _is_changing(self, spec: ModelSpec) -> bool:
        """Whether a sleep or a wake is under way (vLLM 0.32, entrypoints/serve/dev/sleep/metrics.py)."""
        metrics = (await self._call(spec, "GET", "/metrics")).text
        return any(value > 0 for _, value in samples(metrics, IN_FLIGHT))

    async def _gauged_level(self, spec: ModelSpec) -> int | None:
        """1 or 2 as the metrics say, or None where they do not tell: statistics off, or scheduling only paused."""
        metrics = (await self._call(spec, "GET", "/metrics")).text
        states = {labels for labels, value in samples(metrics, SLEEP_STATE) if value == 1}
        for level, state in ((2, "discard_all"), (1, "weights_offloaded")):
            if any(f'sleep_state="{state}"' in labels for labels in states):
                return level
        return None

    async def _call(
        self, spec: ModelSpec, method: str, path: str, body: dict[str, object] | None = None
    ) -> httpx.Response:
        response = await self._send(spec, method, path, body)
        if response.status_code != httpx.codes.OK:
            raise EngineError(f"{path} was answered with {_said(response)}")
        return response

    async def _send(
        self, spec: ModelSpec, method: str, path: str, body: dict[str, object] | None = None
    ) -> httpx.Response:
        try:
            # Bounded by _within: a wake may take longer than any one call of the others.
            headers = self._keys.headers(spec.name)
            return await self._client.request(method, _url(spec, path), json=body, headers=headers, timeout=None)
        except httpx.HTTPError as error:
            raise EngineError(
                f"{path} on port {spec.port} was not answered: {str(error) or type(error).__name__}"
            ) from error


@contextlib.asynccontextmanager
async def _within(timeout_s: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise EngineError(f"{what} took more than {timeout_s:g} s") from error


def _url(spec: ModelSpec, path: str) -> str:
    return f"http://127.0.0.1:{spec.port}{path}"


def _said(response: httpx.Response) -> str:
    """The status and the message of an answer; vLLM's own errors and FastAPI's have different forms."""
    message = response.text
    with contextlib.suppress(msgspec.DecodeError):
        match msgspec.json.decode(response.content):
            case {"error": {"message": str(inner)}} | {"error": str(inner)} | {"detail": str(inner)}:
                message = inner
            case _:
                pass
    message = " ".join(message.split())[:MOST_SAID]
    return f"{response.status_code}: {message or response.reason_phrase}"
