"""What comes out of the scheduler: do something. Plain values, no behaviour."""

from dataclasses import dataclass

from proxy.core.errors import RotaError


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
    """Have supervisord run the engine's program; it will ask at the gate.

    `is_ahead`: nobody waits for it yet, so that its weights need not be read.
    """

    model: str
    is_ahead: bool = False


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Give the waiting process its command line: the memory is reserved, `awake_bytes` on each of `devices`."""

    model: str
    devices: tuple[str, ...]
    awake_bytes: int


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Send the waiting process away."""

    model: str
    error: RotaError


@dataclass(frozen=True, slots=True)
class StopEngine:
    """End every process of the engine, see its memory free, and report EngineStopped.

    `at_once`: with SIGKILL, since it is broken or hangs; else it is asked to end first.
    """

    model: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class SleepEngine:
    """Put the engine to sleep, see its memory free, and report EngineAsleep or SleepFailed."""

    model: str
    level: int


@dataclass(frozen=True, slots=True)
class WakeEngine:
    """Wake the engine, ask it its probe again, and report EngineReady or SleepFailed. Level 0: nobody knows."""

    model: str
    level: int


@dataclass(frozen=True, slots=True)
class UseEntry:
    """No process of `model`'s old entry is left: from here on the new one counts for all that is done."""

    model: str


@dataclass(frozen=True, slots=True)
class ForgetModel:
    """Nothing of `model` is left, and the catalog does not have it: supervisord need not know its program."""

    model: str


Command = (
    Grant | Reject | StartEngine | OpenGate | CloseGate | StopEngine | SleepEngine | WakeEngine | UseEntry | ForgetModel
)
