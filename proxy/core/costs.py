"""What the acts on one engine take, and how often it is wanted: learned from what happens here. Seconds. Pure.

Until an act has happened here its prior is used. The priors are of the order that vLLM shows: a cold start of a 7B to
14B model takes about a minute, a wake from level 1 about two seconds, from level 2 eight, a sleep at level 1 about
three, at level 2 half a second (vllm-project.github.io, "vLLM Sleep Mode", 2025-10-26; vllm-project/vllm#48337).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, log

WORTH_S = 1.0
"""A wake that takes so much longer than a cold start is not worth the memory that it keeps; less is noise."""

WEIGHT = 0.3
"""Of the newest figure in the mean; the older ones share the rest."""

GAP_WEIGHT = 0.2
"""The same for the times between requests and of their service, which vary more."""

SOON_S = 1800.0
"""A model that is not likely to be wanted within half an hour does not pin host memory while it sleeps."""

SELDOM_S = 600.0
"""The time between two requests of a model that has had one at most."""

MOST_LOAD = 20.0
"""With so many requests at once a moment without any is not waited for: the exponential must not overflow."""

NO_LOAD = 1e-3
"""With fewer the next one is not thought of: the quotient must not be of zeros."""

PRIOR_GAP_S = 120.0
"""Counts as one gap that was seen: two requests in a row do not make a habit."""

SILENCE = 0.3
"""How much of a silence counts as the time between two requests: of random arrivals, a silence says little."""

PRIOR_START_S = 60.0
PRIOR_STOP_S = 3.0
PRIOR_WAKE_S: Mapping[int, float] = {1: 2.0, 2: 8.0}
PRIOR_SLEEP_S: Mapping[int, float] = {1: 3.0, 2: 0.5}
PRIOR_SERVICE_S = 5.0


@dataclass(slots=True)
class Costs:
    """One engine's. None, or absent, is what has not happened yet."""

    prepare_s: float | None = None
    """From the start of the process until it stands at the gate, with its imports done."""
    load_s: float | None = None
    """From the opening of the gate until it is ready."""
    phases: dict[str, float] = field(default_factory=dict)
    """Where that went, the last time, in their order; before it, what those who waited had to wait for the imports."""
    parked_bytes: int | None = None
    """The host memory of its process at the gate, with its imports done."""
    is_plain_only: bool = False
    """It starts only where nothing is done ahead: another start failed, and a plain one did not."""
    stop_s: float | None = None
    wake_s: dict[int, float] = field(default_factory=dict)
    """By the level that it wakes from; the probe is part of it."""
    sleep_s: dict[int, float] = field(default_factory=dict)
    """By level; the wait for the memory is part of it, as it is of a stop."""
    service_s: float | None = None
    """How long a request has its lease."""
    gap_s: float | None = None
    """The mean time between two requests."""
    gaps: int = 0
    """How many have been seen."""
    last_request_at: float | None = None

    def note_prepare(self, seconds: float) -> None:
        """A process came to the gate after so long."""
        self.prepare_s = _mean(self.prepare_s, seconds)

    def note_load(self, seconds: float) -> None:
        """An engine was ready so long after its gate had opened."""
        self.load_s = _mean(self.load_s, seconds)

    def note_stop(self, seconds: float) -> None:
        """A stop took so long."""
        self.stop_s = _mean(self.stop_s, seconds)

    def note_wake(self, level: int, seconds: float) -> None:
        """A wake from `level` took so long."""
        self.wake_s[level] = _mean(self.wake_s.get(level), seconds)

    def note_sleep(self, level: int, seconds: float) -> None:
        """A sleep at `level` took so long."""
        self.sleep_s[level] = _mean(self.sleep_s.get(level), seconds)

    def note_service(self, seconds: float) -> None:
        """A request was served in so long."""
        self.service_s = _mean(self.service_s, seconds, GAP_WEIGHT)

    def note_request(self, now: float) -> None:
        """Somebody asked for it."""
        if self.last_request_at is not None:
            self.gaps = gaps = self.gaps + 1
            gap_s = PRIOR_GAP_S if self.gap_s is None else self.gap_s
            weight = max(GAP_WEIGHT, 1.0 / (1 + gaps))
            self.gap_s = gap_s + weight * (now - self.last_request_at - gap_s)
        self.last_request_at = now

    def kept(self) -> "Costs":
        """What is true after this proxy's life, too: a copy, without the moment of the last request."""
        wakes, sleeps = dict(self.wake_s), dict(self.sleep_s)
        return replace(self, wake_s=wakes, sleep_s=sleeps, phases=dict(self.phases), last_request_at=None)

    # --- what to expect -------------------------------------------------------------------------------------------

    @property
    def start_s(self) -> float | None:
        """A cold start, where one has happened."""
        return None if self.load_s is None else self.load_s + (self.prepare_s or 0.0)

    @property
    def expected_start_s(self) -> float:
        """A cold start."""
        return PRIOR_START_S if self.load_s is None else self.load_s + (self.prepare_s or 0.0)

    @property
    def expected_load_s(self) -> float:
        """A start from the opening of the gate on."""
        return PRIOR_START_S if self.load_s is None else self.load_s

    @property
    def expected_stop_s(self) -> float:
        """A stop."""
        return PRIOR_STOP_S if self.stop_s is None else self.stop_s

    def expected_rest_s(self, phase: str, for_s: float) -> float | None:
        """What is left of a start whose `phase` has taken `for_s`: the rest of that and the later ones.

        None where that phase has not been seen.
        """
        if phase not in self.phases:
            return None
        names = list(self.phases)
        later = names[names.index(phase) + 1 :]
        return max(0.0, self.phases[phase] - for_s) + sum(self.phases[name] for name in later)

    def expected_wake_s(self, level: int) -> float:
        """A wake from `level`; 0 where nobody knows the level."""
        return self.wake_s.get(level, PRIOR_WAKE_S.get(level, PRIOR_WAKE_S[2]))

    def expected_sleep_s(self, level: int) -> float:
        """A sleep at `level`."""
        return self.sleep_s.get(level, PRIOR_SLEEP_S[level])

    def expected_drain_s(self, leases: int) -> float:
        """Until the last of so many requests has ended: the largest of as many exponential times."""
        if not leases:
            return 0.0
        service_s = PRIOR_SERVICE_S if self.service_s is None else self.service_s
        return service_s * (1.0 + log(leases))

    def expected_idle_s(self, leases: int, now: float) -> float:
        """Until it has no request, though others come meanwhile: the mean busy period of an M/G/inf queue."""
        if not leases:
            return 0.0
        rate, service_s = self.rate(now), PRIOR_SERVICE_S if self.service_s is None else self.service_s
        load = min(rate * service_s, MOST_LOAD)
        return service_s if load < NO_LOAD else (exp(load) - 1.0) / rate

    def rate(self, now: float) -> float:
        """Requests a second, as far as the last ones tell; a silence much longer than the mean gap lowers it."""
        if self.last_request_at is None:
            return 0.0
        gap_s = SELDOM_S if self.gap_s is None else self.gap_s
        return 1.0 / max(gap_s, SILENCE * (now - self.last_request_at), 1e-3)

    def worth_sleeping(self, levels: list[int], now: float) -> list[int]:
        """Those of `levels` from which it is back sooner than from a cold start.

        Where it is not likely to be wanted soon only the deepest of them, which pins nothing.
        """
        quicker = [level for level in sorted(levels) if self._is_quicker(level)]
        return quicker if self.is_wanted_soon(now) else quicker[-1:]

    def _is_quicker(self, level: int) -> bool:
        if self.start_s is None or level not in self.wake_s:
            return True
        return self.wake_s[level] < self.start_s + WORTH_S

    def is_wanted_soon(self, now: float) -> bool:
        """Whether the next request is likely within half an hour: a silence longer than the mean makes it later."""
        if self.gap_s is None or self.last_request_at is None:
            return True
        return max(self.gap_s, now - self.last_request_at) <= SOON_S


def _mean(old: float | None, new: float, weight: float = WEIGHT) -> float:
    return new if old is None else old + weight * (new - old)
