"""What goes into the scheduler of engines and their processes: at the gate, as they start, sleep and end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.diagnose import UNKNOWN, Diagnosis
from proxy.core.errors import EngineStartFailed
from proxy.core.methods import Method


@dataclass(frozen=True, slots=True)
class GatePreparing:
    """A process has been told what it may do without leave. What it fails in until it says more is `method`'s."""

    model: str
    method: Method


@dataclass(frozen=True, slots=True)
class GateAsked:
    """A process wants to become the engine, and does what it can without leave: it imports vLLM."""

    model: str


@dataclass(frozen=True, slots=True)
class GateReached:
    """The process that asked has done all it can without leave; it takes so much of the host's memory (0: not known).

    With leave it goes on by `method`.
    """

    model: str
    method: Method = Method.PLAIN
    host_bytes: int = 0


@dataclass(frozen=True, slots=True)
class GateLeft:
    """The process at the gate went away, or has its answer."""

    model: str


@dataclass(frozen=True, slots=True)
class VllmChanged:
    """Its vLLM was installed anew since its process began to import it."""

    model: str


@dataclass(frozen=True, slots=True)
class StartHeard:
    """Whether the log of an engine that starts has been silent for so long that it may hang."""

    model: str
    is_silent: bool


@dataclass(frozen=True, slots=True)
class PhaseBegun:
    """An engine that starts is in the next phase (`phases`)."""

    model: str
    phase: str


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The engine answers /health, serves its model and has answered its probe, after a start or a wake.

    `phases` is where the time of a start went, in s, in their order; empty where that was not seen.
    """

    model: str
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The engine could not be started; `error` says why."""

    model: str
    error: EngineStartFailed


@dataclass(frozen=True, slots=True)
class EngineDown:
    """The engine's process has ended, or is ending, and not by a StopEngine.

    `detail` is what was seen, in a line, `last_words` the end of its log; `diagnosis` is what that means if the engine
    was starting, `by_hand` who did it.
    """

    model: str
    detail: str
    by_hand: str | None = None
    diagnosis: Diagnosis = UNKNOWN
    last_words: str = ""


@dataclass(frozen=True, slots=True)
class EngineAsleep:
    """The engine sleeps, says so itself, and its memory has been seen free."""

    model: str


@dataclass(frozen=True, slots=True)
class SleepFailed:
    """A sleep or a wake did not do what it should: only the end of its process mends that. `detail` says what."""

    model: str
    detail: str


@dataclass(frozen=True, slots=True)
class EngineStopped:
    """No process of the engine is left, and its memory has been seen free or is some stranger's account now.

    `how` is said where its process had ended by itself: with which exit status, or by which signal.
    """

    model: str
    how: str | None = None


@dataclass(frozen=True, slots=True)
class EngineFound:
    """An engine from before this proxy's life runs on `devices`: adopt it. `sleep_level` is None if it is awake.

    `is_outdated` is whether it was launched by another entry of the catalog than there is now.
    """

    model: str
    devices: tuple[str, ...]
    sleep_level: int | None = None
    is_outdated: bool = False
