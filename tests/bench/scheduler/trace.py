"""What the scheduler's benchmark plays: devices, models with what their acts cost, and requests. Seconds and GiB."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=1e7)]
Gib = Annotated[float, msgspec.Meta(ge=0.0, le=1e5)]
SomeGib = Annotated[float, msgspec.Meta(gt=0.0, le=1e5)]


class ModelCosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: what it takes, and what each act on its engine costs.

    `prepare_s` is the part of `start_s` that needs no VRAM. A model that cannot sleep has no `sleep_levels`;
    `sleep_s` and `wake_s` are by level, the first for level 1. Of `concurrency` requests each takes its own time.
    """

    gib: SomeGib
    start_s: Seconds
    prepare_s: Seconds = 7.0
    stop_s: Seconds = 2.0
    sleep_levels: tuple[Literal[1, 2], ...] = ()
    sleep_s: tuple[Seconds, Seconds] = (1.5, 0.5)
    wake_s: tuple[Seconds, Seconds] = (2.0, 6.0)
    asleep_gib: Gib = 0.8
    host_gib: Gib = 0.0
    concurrency: Annotated[int, msgspec.Meta(ge=1)] = 16

    def __post_init__(self) -> None:
        if self.prepare_s > self.start_s:
            raise ValueError(f"prepare_s (here {self.prepare_s:g}) is a part of start_s (here {self.start_s:g})")
        if self.asleep_gib > self.gib:
            raise ValueError(f"asleep_gib (here {self.asleep_gib:g}) is a part of gib (here {self.gib:g})")

    @property
    def longest_leave_s(self) -> float:
        """The longest of its ways down."""
        return max(self.stop_s, *(self.sleep_s[level - 1] for level in self.sleep_levels), 0.0)


class World(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The YAML beside a trace: devices by name with their GiB, models by name, the bound."""

    devices_gib: Annotated[dict[str, SomeGib], msgspec.Meta(min_length=1)]
    models: Annotated[dict[str, ModelCosts], msgspec.Meta(min_length=1)]
    host_gib: Gib = 0.0
    max_wait_s: Seconds = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it comes, for which model, and how long it is served."""

    number: int
    at_s: float
    model: str
    service_s: float


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival, in a world."""

    name: str
    world: World
    requests: list[Request]
    is_small: bool = False
    """Small enough for the optimum to be computed."""

    @property
    def is_pressed(self) -> bool:
        """Whether FIFO cannot keep up with it."""
        return self.name.endswith("-pressed")

    def bounds_s(self) -> dict[str, float]:
        """By model: `max_wait_s`, and the longest swap that it may need then.

        That is: those whom others serve end, as many leave as fit on one device beside each other, and it starts.
        """
        return {model: self.world.max_wait_s + self._swap_s(model) for model in self.world.models}

    def _swap_s(self, model: str) -> float:
        others = [costs for name, costs in self.world.models.items() if name != model]
        held_gib = list(accumulate(sorted(costs.gib for costs in others)))
        leaving = sum(held <= max(self.world.devices_gib.values()) for held in held_gib)
        drain_s = max((one.service_s for one in self.requests if one.model != model), default=0.0)
        leave_s = max((costs.longest_leave_s for costs in others), default=0.0)
        return drain_s + leaving * leave_s + self.world.models[model].start_s


@dataclass(slots=True)
class Outcome:
    """What became of a trace under one policy; `waits_s` are in the order of the requests."""

    policy: str
    waits_s: list[float] = field(default_factory=list)
    swaps: int = 0
    lost_s: float = 0.0
    """Engine-seconds of starting, waking, sleeping and stopping that held a device."""
    refused: int = 0

    @property
    def mean_s(self) -> float:
        """The mean wait."""
        return sum(self.waits_s) / len(self.waits_s) if self.waits_s else 0.0

    @property
    def p95_s(self) -> float:
        """The wait that 95 of 100 do not exceed (nearest rank)."""
        ordered = sorted(self.waits_s)
        return ordered[max(0, -(-95 * len(ordered) // 100) - 1)] if ordered else 0.0

    @property
    def worst_s(self) -> float:
        """The longest wait."""
        return max(self.waits_s, default=0.0)


def numbered(name: str, world: World, drawn: Iterable[tuple[float, str, float]], *, is_small: bool = False) -> Trace:
    """A trace of (t_s, model, service_s), in any order."""
    ordered = sorted(drawn)
    return Trace(
        name, world, [Request(n, at, model, service) for n, (at, model, service) in enumerate(ordered)], is_small
    )
