"""Signs of life of one engine: since when it has been silent. Facts and the time in, seconds out. Pure.

An engine is silent while it does not answer /health, and while it has work and nothing of it moves.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

RUNNING = "vllm:num_requests_running"

GENERATED = "vllm:generation_tokens_total"

PROGRESS = (
    "vllm:iteration_tokens_total_count",
    GENERATED,
    "vllm:prompt_tokens_total",
    # The counters stand still while a long prompt is computed in parts: those steps give no output, and vLLM counts
    # with the outputs only. The cache fills meanwhile. Source: vLLM 0.32, v1/engine/async_llm.py, output_handler.
    "vllm:kv_cache_usage_perc",
)


SPEED_OVER = 8
"""Beats over which the speed is taken: about four seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """What /metrics says: whether requests run, the figures that move while they do, the tokens generated so far."""

    is_running: bool
    progress: tuple[float, ...]
    generated: float = 0.0


def samples(text: str, name: str) -> Iterator[tuple[str, float]]:
    """The labels and the value of each line of `name` in Prometheus' text form; what is no number is left out."""
    for line in text.splitlines():
        if not line.startswith((f"{name}{{", f"{name} ")):
            continue
        labels, _, value = line.removeprefix(name).rpartition("}" if "}" in line else " ")
        try:
            yield labels, float(value.split()[0])
        except (ValueError, IndexError):
            continue


def work_of(metrics: str) -> Work | None:
    """What these metrics say about work, or None if they do not tell (vLLM's `--disable-log-stats`)."""
    running = [value for _, value in samples(metrics, RUNNING)]
    progress = tuple(value for name in PROGRESS for _, value in samples(metrics, name))
    generated = sum(value for _, value in samples(metrics, GENERATED))
    return Work(sum(running) > 0, progress, generated) if running and progress else None


class Signs:
    """What was seen of one engine so far."""

    def __init__(self) -> None:
        self._unanswered_since: float | None = None
        self._stuck_since: float | None = None
        self._work: Work | None = None
        self._generated: deque[tuple[float, float]] = deque(maxlen=SPEED_OVER)

    def __repr__(self) -> str:
        return f"<Signs unanswered since {self._unanswered_since}, stuck since {self._stuck_since}>"

    def note_no_answer(self, now: float) -> None:
        """It did not answer /health. Whether it is stuck as well is not known, so that clock runs on."""
        if self._unanswered_since is None:
            self._unanswered_since = now

    def note_answer(self) -> None:
        """It answered /health."""
        self._unanswered_since = None

    def note_work(self, work: Work | None, is_owed: bool, now: float) -> None:
        """It has work, as far as `work` or `is_owed` tell; None: its metrics did not tell, and the clock runs on.

        `is_owed`: a request was sent to it and no answer has begun. Where an idle engine hangs in the first step of
        a request, vLLM's gauge still says that nothing runs: the engine reports it after the step.
        """
        if work is None:
            return
        self._generated.append((now, work.generated))
        has_moved = self._work is None or work.progress != self._work.progress
        self._work = work
        if not (work.is_running or is_owed):
            self._stuck_since = None
        elif has_moved or self._stuck_since is None:
            self._stuck_since = now

    def note_idle(self) -> None:
        """Nobody waits for it."""
        self._stuck_since = None
        self._generated.clear()

    def tokens_per_s(self) -> float:
        """How many tokens it generates a second, over its last few beats; 0 where it has nothing to do."""
        if len(self._generated) < 2:  # a speed needs two
            return 0.0
        (began_at, first), (ended_at, last) = self._generated[0], self._generated[-1]
        return max(0.0, last - first) / (ended_at - began_at) if ended_at > began_at else 0.0

    def silent_for(self, now: float) -> float:
        """Seconds since the last sign of life; 0 while all is well."""
        since = [one for one in (self._unanswered_since, self._stuck_since) if one is not None]
        return now - min(since) if since else 0.0
