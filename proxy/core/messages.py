"""What goes into the scheduler (events), and beside it what comes out (`commands`). Plain values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.core.commands import (
    CloseGate as CloseGate,
    Command as Command,
    ForgetModel as ForgetModel,
    Grant as Grant,
    OpenGate as OpenGate,
    Reject as Reject,
    SleepEngine as SleepEngine,
    StartEngine as StartEngine,
    StopEngine as StopEngine,
    UseEntry as UseEntry,
    WakeEngine as WakeEngine,
)
from proxy.core.costs import Costs
from proxy.core.devices import Amounts, Strangers
from proxy.core.engine_events import (
    EngineAsleep as EngineAsleep,
    EngineDown as EngineDown,
    EngineFound as EngineFound,
    EngineReady as EngineReady,
    EngineStopped as EngineStopped,
    GateAsked as GateAsked,
    GateLeft as GateLeft,
    GatePreparing as GatePreparing,
    GateReached as GateReached,
    PhaseBegun as PhaseBegun,
    SleepFailed as SleepFailed,
    StartFailed as StartFailed,
    StartHeard as StartHeard,
    VllmChanged as VllmChanged,
)
from proxy.core.roster import EngineNeeds

# --- events: something happened ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A ticket is drawn for `model`; a Grant or a Reject will answer it. `by_hand` says who asks, if not a client.

    `priority` is the request's weight beside the model's own, `deadline_s` how long its client will wait for an engine,
    `keep_alive_s` how long the engine is to stay after it without requests (infinity: for good). `agent_type` and `key`
    say whose it is, for people.
    """

    ticket: int
    model: str
    by_hand: str | None = None
    priority: float = 1.0
    deadline_s: float | None = None
    keep_alive_s: float | None = None
    agent_type: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """The ticket's request is over: answered, failed or its client gone, with a lease or still in the queue."""

    ticket: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A person wants `model` stopped, drained first; `at_once` without waiting for its requests, which break off."""

    model: str
    who: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class SleepAsked:
    """A person wants `model` asleep at `level`, drained first."""

    model: str
    level: int
    who: str


@dataclass(frozen=True, slots=True)
class PinSet:
    """A person wants `model` pinned, or not pinned, whatever the catalog says."""

    model: str
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class PreloadAsked:
    """`model` is to be ready before anybody asks for it, if there is room that nobody else holds."""

    model: str


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The catalog has `model`, with these needs, from now on: it is new, or its entry has changed.

    `is_same_launch` is whether an engine that runs would be launched just so; else it has to go first, and `costs` are
    what acts on its successor take, as far as that is known.
    """

    model: str
    needs: EngineNeeds
    costs: Costs
    is_same_launch: bool


@dataclass(frozen=True, slots=True)
class ModelRemoved:
    """The catalog does not have `model` any more: it serves those who came before, and goes."""

    model: str


@dataclass(frozen=True, slots=True)
class CostsRemembered:
    """What acts on `model`'s engine took before this proxy's life."""

    model: str
    costs: Costs


@dataclass(frozen=True, slots=True)
class StopRemembered:
    """Before this proxy's life somebody stopped `model` by hand."""

    model: str
    who: str


@dataclass(frozen=True, slots=True)
class AmountsLearned:
    """What `model` takes has been measured."""

    model: str
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class StrangersSeen:
    """What processes that are not ours hold, by device."""

    by_device: Mapping[str, Strangers]


@dataclass(frozen=True, slots=True)
class HostSeen:
    """Whether the host has hardly any memory left, whoever holds it; and what could be taken without that, if known."""

    is_short: bool
    spare_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; time-outs are the scheduler's decisions."""


Event = (
    RequestArrived
    | RequestEnded
    | StopAsked
    | SleepAsked
    | PinSet
    | PreloadAsked
    | GatePreparing
    | GateAsked
    | GateReached
    | GateLeft
    | VllmChanged
    | StartHeard
    | PhaseBegun
    | EngineReady
    | StartFailed
    | EngineDown
    | EngineAsleep
    | SleepFailed
    | EngineStopped
    | EngineFound
    | ModelSet
    | ModelRemoved
    | CostsRemembered
    | StopRemembered
    | AmountsLearned
    | StrangersSeen
    | HostSeen
    | Tick
)

NOT_OF_ONE_MODEL = (RequestEnded, ModelSet, StrangersSeen, HostSeen, Tick)
"""All others are about a model that must be there."""
