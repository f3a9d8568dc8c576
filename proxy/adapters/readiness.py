"""Waits until an engine is ready, and notices it at once: it listens when it is (vLLM binds its port long before)."""

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay

from catalog.spec import ModelSpec

LOOK_S = 0.02
"""How often it is looked whether it listens, which costs some microseconds."""
ASK_S = 0.1
"""How often it is asked, once it does."""


class NotReady(Exception):
    """The engine does not answer yet, or something else answers on its port."""


class NotListening(NotReady):
    """Nobody takes a connection on its port."""


async def wait(
    spec: ModelSpec, listens: Callable[[int], Awaitable[bool]], check: Callable[[ModelSpec], Awaitable[None]]
) -> None:
    """Return once `check`, which raises NotReady, has passed. Raises: NotReady after the model's start time-out."""

    async def look() -> None:
        if not await listens(spec.port):
            raise NotListening(f"nobody listens on port {spec.port}")
        await check(spec)

    retrying = AsyncRetrying(
        wait=_until_next_look,
        stop=stop_after_delay(spec.start_timeout_s),
        retry=retry_if_exception_type(NotReady),
        reraise=True,
    )
    await retrying(look)


def _until_next_look(state: RetryCallState) -> float:
    is_silent = state.outcome is not None and isinstance(state.outcome.exception(), NotListening)
    return LOOK_S if is_silent else ASK_S
