"""Who waits for an engine, one by one, for people: since when, whose request it is, how much longer. Pure; seconds.

Rule: how much longer is said only where it has been learned on this machine.
"""

from dataclasses import dataclass
from math import isfinite

from proxy.core.board import Board
from proxy.core.estimates import ready_in_s
from proxy.core.roster import Engine

MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Waiter:
    """One request that waits, or a person who waits for the engine (`is_by_hand`).

    `expires_in_s` is when it is sent away, `served_in_s` when it will have its turn, as far as that is known.
    """

    agent_type: str
    key: str
    is_by_hand: bool
    priority: float
    waited_s: float
    expires_in_s: float | None
    served_in_s: float | None


def waiters(board: Board, engine: Engine, now: float) -> tuple[Waiter, ...]:
    """Those who have waited longest, `MOST_TOLD` of them; as if nobody of a higher priority came."""
    begins_s, told = ready_in_s(board, engine, now), []
    for ahead, ticket in enumerate(engine.queue.first(MOST_TOLD)):
        expires_s = ticket.expires_at - now
        told.append(
            Waiter(
                agent_type=ticket.agent_type,
                key=ticket.key,
                is_by_hand=ticket.is_by_hand,
                priority=ticket.priority,
                waited_s=now - ticket.arrived_at,
                expires_in_s=expires_s if isfinite(expires_s) else None,
                served_in_s=None if begins_s is None else _turn_s(engine, begins_s, ahead),
            )
        )
    return tuple(told)


def _turn_s(engine: Engine, begins_s: float, ahead: int) -> float | None:
    """When it has its turn with so many `ahead` of it, at an engine that serves in `begins_s`."""
    concurrency, service_s = engine.needs.terms.concurrency, engine.costs.service_s
    if begins_s and ahead < concurrency:
        return begins_s
    if service_s is None:
        return None
    return begins_s + service_s * (ahead // concurrency if begins_s else (ahead + 1) / concurrency)
