"""How a model is to be treated: what its own file says, and what the agent types that it serves say. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from catalog.spec import AgentRoute, ModelSpec


@dataclass(frozen=True, slots=True)
class Terms:
    """How a model is to be treated: `concurrency` requests at once, `max_queue` waiting ones, `priority` each.

    A pinned engine never makes room, nor does idleness end it. One that has just become ready stays `min_residence_s`,
    but for who is due. An idle one falls asleep after `idle_sleep_s` and is stopped after `idle_stop_s`; None is never.
    """

    concurrency: int = 2**31
    max_queue: int = 2**31
    priority: float = 1.0
    is_pinned: bool = False
    is_preload: bool = False
    min_residence_s: float = 0.0
    idle_sleep_s: float | None = None
    idle_stop_s: float | None = None


NO_TERMS = Terms()


def terms_of(spec: ModelSpec, routes: Iterable[AgentRoute]) -> Terms:
    """The terms of `spec`, which serves `routes`.

    Pinned or preloaded for one is so for all. A time that the model's own file gives counts; else the longest that one
    of its agent types gives. An agent type's priority is its requests', not the model's.
    """
    own = [route for route in routes if route.model == spec.name]
    return Terms(
        concurrency=spec.concurrency or spec.max_num_seqs,
        max_queue=spec.max_queue,
        priority=spec.priority,
        is_pinned=spec.pinned or any(route.pinned for route in own),
        is_preload=spec.preload or any(route.preload for route in own),
        min_residence_s=_longest(spec.min_residence_s, [route.min_residence_s for route in own]) or 0.0,
        idle_sleep_s=_longest(spec.idle_sleep_s, [route.idle_sleep_s for route in own]),
        idle_stop_s=_longest(spec.idle_stop_s, [route.idle_stop_s for route in own]),
    )


def _longest(own_s: float | None, others_s: Iterable[float | None]) -> float | None:
    return own_s if own_s is not None else max((one for one in others_s if one is not None), default=None)
