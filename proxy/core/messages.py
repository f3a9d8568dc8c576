"""What goes into the scheduler (events) and what comes out (commands). Plain values, no behaviour."""

from dataclasses import dataclass

from proxy.core.diagnose import UNKNOWN, Diagnosis
from proxy.core.errors import EngineStartFailed, RotaError

# --- events: something happened ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A ticket is drawn for `model`; a Grant or a Reject will answer it."""

    ticket: int
    model: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """The ticket's request is over: answered, failed or its client gone, with a lease or still in the queue."""

    ticket: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A person wants `model` stopped, drained first."""

    model: str


@dataclass(frozen=True, slots=True)
class GateAsked:
    """The engine's process waits at the gate for leave to start."""

    model: str


@dataclass(frozen=True, slots=True)
class GateLeft:
    """The process at the gate went away, or has its answer."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The engine answers /health and serves its model."""

    model: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The engine could not be started; `error` says why."""

    model: str
    error: EngineStartFailed


@dataclass(frozen=True, slots=True)
class EngineDown:
    """The engine's process has ended, or is ending, and not by a StopEngine.

    `detail` is what was seen, `diagnosis` what it means if the engine was starting.
    """

    model: str
    detail: str
    by_hand: bool = False
    diagnosis: Diagnosis = UNKNOWN


@dataclass(frozen=True, slots=True)
class EngineStopped:
    """No process of the engine is left and its memory has been seen free."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineFound:
    """An engine from before this proxy's life runs: adopt it."""

    model: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; time-outs are the scheduler's decisions."""


Event = (
    RequestArrived
    | RequestEnded
    | StopAsked
    | GateAsked
    | GateLeft
    | EngineReady
    | StartFailed
    | EngineDown
    | EngineStopped
    | EngineFound
    | Tick
)

# --- commands: do something -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """The ticket becomes a lease."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Reject:
    """The ticket ends with an error."""

    ticket: int
    error: RotaError


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Have supervisord run the engine's program; it will ask at the gate."""

    model: str


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Give the waiting process its command line: the memory is reserved."""

    model: str


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Send the waiting process away."""

    model: str
    error: RotaError


@dataclass(frozen=True, slots=True)
class StopEngine:
    """End every process of the engine, see its memory free, and report EngineStopped."""

    model: str


Command = Grant | Reject | StartEngine | OpenGate | CloseGate | StopEngine
