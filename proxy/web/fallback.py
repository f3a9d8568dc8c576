"""The lease that a request goes on with: its model's or, if that cannot be had, that of its agent type's fallback."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from proxy.core.errors import (
    BlockedByOthers,
    DeadlineTooShort,
    EngineStartFailed,
    ModelTooLarge,
    RotaError,
    StoppedByHand,
)
from proxy.core.routing import Route
from proxy.core.wishes import Wishes
from proxy.leases import Lease, Leases
from proxy.web.passage import Passage

log = logging.getLogger(__name__)

CANNOT_BE_HAD = (EngineStartFailed, ModelTooLarge, BlockedByOthers, StoppedByHand, DeadlineTooShort)
"""For these the agent type's fallback answers; waiting too long is not among them: the time is gone. Nor is a full
queue: another engine would have to come up for it, where time is short already."""


@asynccontextmanager
async def lease_of(
    leases: Leases, passage: Passage, route: Route, wishes: Wishes, on_wait: Callable[[], None]
) -> AsyncIterator[Lease]:
    """The lease of the route's model or, where it cannot be had, of its fallback. Raises: RotaError."""
    passage.model, passage.fallback = route.model, None  # of a try before
    take = partial(leases.take, wishes=wishes, on_wait=on_wait, agent_type=passage.agent_type, key=passage.key_name)
    async with AsyncExitStack() as stack:
        try:
            lease = await stack.enter_async_context(take(route.model))
        except CANNOT_BE_HAD as error:
            if route.fallback is None:
                raise
            log.info("%s answers for %s: %s", route.fallback, route.model, error.code)
            passage.model = route.fallback
            try:
                lease = await stack.enter_async_context(take(route.fallback))
            except RotaError as second:
                # Both are told of: the first is what the client asked for.
                what = f"{error.message}\nIts fallback {route.fallback} cannot be had either: {second.message}"
                raise type(error)(what, param=error.param, retry_after_s=error.retry_after_s) from second
            passage.fallback = f"{route.fallback}; for={route.model}; because={error.code}"
        yield lease
