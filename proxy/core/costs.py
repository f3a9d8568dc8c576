"""What it costs to have an engine back, and when it is likely to be wanted: learned from what happens. Pure; seconds.

Until both have happened a wake is taken to be quicker than a cold start, as it is by far for most models: seconds
against a minute (vllm-project.github.io, "vLLM Sleep Mode", 2025-10-26; vllm-project/vllm#48337).
"""

from dataclasses import dataclass, field

WORTH_S = 1.0
"""A wake that takes so much longer than a cold start is not worth the memory that it keeps; less is noise."""

WEIGHT = 0.3
"""Of the newest figure in the mean; the older ones share the rest."""

SOON_S = 1800.0
"""A model that is not likely to be wanted within half an hour does not pin host memory while it sleeps."""


@dataclass(slots=True)
class Costs:
    """One engine's."""

    start_s: float | None = None
    wake_s: dict[int, float] = field(default_factory=dict)
    gap_s: float | None = None
    """The mean time between two requests."""
    last_request_at: float | None = None

    def note_start(self, seconds: float) -> None:
        """A cold start took so long."""
        self.start_s = _mean(self.start_s, seconds)

    def note_wake(self, level: int, seconds: float) -> None:
        """A wake from `level` took so long, its probe included."""
        self.wake_s[level] = _mean(self.wake_s.get(level), seconds)

    def note_request(self, now: float) -> None:
        """Somebody asked for it."""
        if self.last_request_at is not None:
            self.gap_s = _mean(self.gap_s, now - self.last_request_at)
        self.last_request_at = now

    def worth_sleeping(self, levels: list[int], now: float) -> list[int]:
        """Those of `levels` from which it is back sooner than from a cold start, the one that is preferred first.

        Level 1 first, where it is likely to be wanted soon, or nobody knows; else level 2, which pins nothing.
        """
        quicker = [level for level in sorted(levels) if self._is_quicker(level)]
        return quicker if self.is_wanted_soon(now) else quicker[::-1]

    def _is_quicker(self, level: int) -> bool:
        if self.start_s is None or level not in self.wake_s:
            return True
        return self.wake_s[level] < self.start_s + WORTH_S

    def is_wanted_soon(self, now: float) -> bool:
        """Whether the next request is likely within half an hour: a silence longer than the mean makes it later."""
        if self.gap_s is None or self.last_request_at is None:
            return True
        return max(self.gap_s, now - self.last_request_at) <= SOON_S


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + WEIGHT * (new - old)
