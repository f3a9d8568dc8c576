"""Where the time of a cold start goes: the phases that vLLM's log tells of, as its lines come. Pure.

The log's own times are whole seconds; so what counts is when a line was seen. Its texts are those of vLLM 0.32
(`entrypoints/serve/utils/api_utils.py`, `v1/engine/core.py`, `v1/worker/*_model_runner.py`, `model_executor/
model_loader/`, `compilation/`); of a line that a release does not write the phase is part of the one before.
"""

from enum import StrEnum


class Phase(StrEnum):
    """One after the other; which is left out is part of the one before."""

    IMPORT = "import"
    """vLLM is imported, before the process has leave; nothing where that was done before anybody waited."""
    CONFIG = "config"
    """The arguments and the model's configuration are read."""
    ENGINE = "engine"
    """The processes of the engine begin."""
    WEIGHTS = "weights"
    """The model is made, and its weights are read."""
    COMPILE = "compile"
    """torch.compile, the profile run and the KV cache."""
    GRAPHS = "graphs"
    """CUDA graphs are captured."""
    SERVER = "server"
    """The HTTP server begins, until it answers."""


_MARKS = (
    (Phase.ENGINE, "Initializing a V1 LLM engine"),
    (Phase.WEIGHTS, "Starting to load model"),
    (Phase.COMPILE, "Loading weights took"),
    (Phase.GRAPHS, "Capturing CUDA graphs"),
    (Phase.SERVER, "init engine (profile"),
)


class Phases:
    """Of one start, which has leave at `began_at` (s)."""

    def __init__(self, began_at: float) -> None:
        self._seen = {Phase.CONFIG: began_at}
        self._left = list(_MARKS)

    def __repr__(self) -> str:
        return f"<Phases, {self.now}>"

    @property
    def now(self) -> Phase:
        """The one that is under way."""
        return list(self._seen)[-1]

    def line(self, text: str, at: float) -> None:
        """A line of the log was seen at that time."""
        for place, (phase, mark) in enumerate(self._left):
            if mark in text:
                self._seen[phase] = at
                del self._left[: place + 1]
                return

    def took(self, ended_at: float) -> dict[Phase, float]:
        """How long each took, in s, where the last ended at that time."""
        begun = [*self._seen.items()]
        ends = [at for _, at in begun[1:]] + [ended_at]
        return {phase: round(end - at, 3) for (phase, at), end in zip(begun, ends, strict=True)}


def bar(took: dict[str, float], width: int = 60) -> list[str]:
    """One line for each phase: a bar as long as it took, beginning where the one before ended."""
    total_s = sum(took.values())
    if not total_s:
        return []
    lines, begun_s = [], 0.0
    for phase, seconds in took.items():
        begin, end = round(width * begun_s / total_s), round(width * (begun_s + seconds) / total_s)
        lines.append(f"{phase:<8} {seconds:>7.1f} s  {' ' * begin}{'█' * max(1, end - begin)}")
        begun_s += seconds
    return lines
