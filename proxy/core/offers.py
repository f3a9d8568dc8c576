"""What the plan works with: demands, the engines that could make room for them and how, and the plan itself.

Plain values. Bytes are on each device, times in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from proxy.core.devices import Placing
from proxy.core.queue import NOBODY_WAITS, Waits


class Rung(StrEnum):
    """How far down the ladder an engine goes."""

    LEVEL_1 = "sleep at level 1"
    LEVEL_2 = "sleep at level 2"
    STOP = "stop"


RUNGS = {1: Rung.LEVEL_1, 2: Rung.LEVEL_2}
"""By vLLM's level of sleep."""


@dataclass(frozen=True, slots=True)
class Way:
    """One rung that is open to an engine.

    `keeps_bytes` is what it would still hold on each device, `pins_bytes` what it would pin on the host in addition;
    `leave_s` is how long it takes to go down, `return_s` to be back.
    """

    rung: Rung
    keeps_bytes: int = 0
    pins_bytes: int = 0
    leave_s: float = 0.0
    return_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that could make room: where and what it holds, how much it is wanted, and its ways down, STOP last.

    `rate` is requests a second, times their priority; `waits` those who wait at it while it serves others, of whom the
    first has waited `oldest_s`. `drain_s` is how long those whom it serves will take if no others come, `idle_s` if
    they do, `up_s` how long it has been ready. A resident one is not to leave yet but for who is due.
    """

    model: str
    placing: Placing
    ways: tuple[Way, ...]
    rate: float = 0.0
    drain_s: float = 0.0
    idle_s: float = 0.0
    waits: Waits = NOBODY_WAITS
    oldest_s: float = 0.0
    up_s: float = 0.0
    is_draining: bool = False
    is_asleep: bool = False
    is_resident: bool = False
    last_used_at: float = 0.0
    pinned_bytes: int = 0
    back_s: float = 0.0
    """While asleep: how long its wake would take."""


class Standing(NamedTuple):
    """Where a model stands among those that are wanted and do not serve: what the order of demands follows from.

    A named tuple of what can be told at once, since there may be a thousand, and only the first of them become demands.
    The fields are a demand's; `weight` and `sum_s` (s) are those of its waits.
    """

    model: str
    since: tuple[float, int]
    slack_s: float
    enter_s: float
    weight: float = 0.0
    sum_s: float = 0.0
    is_pressing: bool = False
    is_modest: bool = False
    is_expected: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that is wanted and does not serve: the bytes it needs on each device, the devices it may have.

    `enter_s` is how long its start or wake takes once there is room, `usual_s` how long it usually takes, next time.
    `waits` is who waits for it, `gap_s` the mean time between them; the oldest ticket has waited `oldest_s`, and may do
    so for `slack_s` more before the swap must begin. `is_due`: it cannot wait any longer; `is_pressing`: a person asks
    for it, so nothing is weighed; `is_modest`:
    nobody waits for it, so that it takes free room only; `is_expected`: who waits was refused, and comes back.
    """

    model: str
    bytes: int
    choices: tuple[tuple[str, ...], ...]
    enter_s: float = 0.0
    usual_s: float = 0.0
    gap_s: float = 0.0
    waits: Waits = NOBODY_WAITS
    oldest_s: float = 0.0
    slack_s: float = 0.0
    since: tuple[float, int] = (0.0, 0)
    is_pressing: bool = False
    is_modest: bool = False
    is_expected: bool = False
    is_due: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """What an engine's leaving costs, in s² of waits.

    `usual_s2` on a usual trip, `drain_s2` the part of it that a moment without requests would spare, `all_s2` on this
    one with those who wait at the engine already. Who it leaves for must have waited `hold_s`.
    """

    usual_s2: float = 0.0
    drain_s2: float = 0.0
    all_s2: float = 0.0
    hold_s: float = 0.0


NOTHING = Loss()


@dataclass(frozen=True, slots=True)
class Eviction:
    """Who makes room for one demand, and what that costs (`Loss`).

    `clear_s` is the time until the room is there; `later_s` how much later it would be if everybody left in a moment
    without requests, as far as one is to be expected.
    """

    ways: Mapping[str, Way]
    usual_s2: float = 0.0
    drain_s2: float = 0.0
    all_s2: float = 0.0
    hold_s: float = 0.0
    clear_s: float = 0.0
    later_s: float = 0.0


NOBODY_LEAVES = Eviction({})


@dataclass(frozen=True, slots=True)
class Covered:
    """A demand that is served next: on which devices, and who leaves for it."""

    demand: Demand
    devices: tuple[str, ...]
    eviction: Eviction


@dataclass(frozen=True, slots=True)
class HeldOff:
    """A demand that is not worth its swap yet: what that would cost, in s², beside what its waiters suffer."""

    demand: Demand
    eviction: Eviction
    pain_s2: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Who makes room and how, where each demand goes that fits once they have, in order, and who has to wait."""

    victims: Mapping[str, Way] = field(default_factory=dict)
    covered: tuple[Covered, ...] = ()
    held_off: tuple[HeldOff, ...] = ()
