"""What Rota must reach on the traces: each check with its figures, its limit, and whether all of them keep it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.scheduler.baselines import BASELINES
from tests.bench.scheduler.results import TOLERANCE_S, Played, optimum_ratios, p95_ratios, ratio

P95_MEDIAN, P95_ANY_SEED = 1.05, 1.25
P95_OF_FIFO = 0.3
LOST_OF_FIFO = 1.0
BETTER_ON_BOTH = 1.05
OPTIMUM_MEDIAN, OPTIMUM_PRESSED = 1.25, 1.1


@dataclass(frozen=True, slots=True)
class Check:
    """Figures by what they are of, none of which may be above `limit`."""

    what: str
    limit: float
    figures: Mapping[str, float]
    unit: str = ""

    @property
    def misses(self) -> dict[str, float]:
        """Those above the limit."""
        return {name: figure for name, figure in self.figures.items() if figure > self.limit + TOLERANCE_S}

    def lines(self) -> Iterator[str]:
        """The verdict with the largest figure, then all that miss."""
        name, figure = max(self.figures.items(), key=lambda item: item[1])
        verdict = "MISS" if self.misses else "pass"
        yield f"{verdict}  {self.what}: {self._text(figure)} ({name}), limit {self._text(self.limit)}"
        for name, figure in self.misses.items():
            yield f"      MISS {name}: {self._text(figure)}"

    def _text(self, figure: float) -> str:
        return f"{figure:.0f} {self.unit}" if self.unit else f"{figure:.3f}"


def checks(traces: Sequence[Sequence[Played]]) -> Iterator[Check]:
    """All checks that these traces allow, each over the seeds of each trace."""
    for check in (*_against_baselines(traces), *_against_fifo(traces), *_bounds(traces), *_against_optimum(traces)):
        if check.figures:
            yield check


def _against_baselines(traces: Iterable[Sequence[Played]]) -> Iterator[Check]:
    ratios = {played[0].trace: p95_ratios(played) for played in traces}
    what = "p95 wait against the best baseline that keeps the bound"
    yield Check(f"{what}, median over the seeds", P95_MEDIAN, {name: median(each) for name, each in ratios.items()})
    yield Check(f"{what}, any seed", P95_ANY_SEED, {name: max(each) for name, each in ratios.items()})


def _against_fifo(traces: Sequence[Sequence[Played]]) -> Iterator[Check]:
    pressed = {played[0].trace: played for played in traces if played[0].trace.endswith("-pressed")}
    p95 = {
        name: median(ratio(one.rota.p95_s, one.results["fifo-lru"].p95_s) for one in played)
        for name, played in pressed.items()
    }
    yield Check("p95 wait against fifo-lru's where it is pressed", P95_OF_FIFO, p95)
    lost = {
        played[0].trace: max(ratio(one.rota.lost_s, one.results["fifo-lru"].lost_s) for one in played)
        for played in traces
    }
    yield Check("time lost to swapping against fifo-lru's, any seed", LOST_OF_FIFO, lost)
    both = {}
    for played in traces:
        for policy in BASELINES:
            bounded = [one for one in played if one.results[policy].keeps_bound]
            if bounded:
                p95_s = median(ratio(one.rota.p95_s, one.results[policy].p95_s) for one in bounded)
                lost_s = median(ratio(one.rota.lost_s, one.results[policy].lost_s) for one in bounded)
                both[f"{played[0].trace}, {policy}"] = min(p95_s, lost_s)
    what = "better by a bounded baseline on both p95 and time lost (the lesser of the two), median over the seeds"
    yield Check(what, BETTER_ON_BOTH, both)


def _bounds(traces: Iterable[Sequence[Played]]) -> Iterator[Check]:
    over_s = {
        f"{one.trace}, seed {one.seed}": -one.rota.spare_s for played in traces for one in played if one.bounded()
    }
    yield Check("longest wait beyond max_wait_s and its swap, wherever a baseline keeps that, any seed", 0, over_s, "s")


def _against_optimum(traces: Iterable[Sequence[Played]]) -> Iterator[Check]:
    small = [one for played in traces for one in played if "optimum" in one.results]
    for what, limit, some in (
        ("sum of waits against the optimum's", OPTIMUM_MEDIAN, small),
        ("the same where it is pressed", OPTIMUM_PRESSED, [one for one in small if one.trace.endswith("-pressed")]),
    ):
        names = {one.trace for one in some}
        figures = {f"{len(names)} traces": median(optimum_ratios(some))} if some else {}
        yield Check(f"{what}, median over small traces and seeds", limit, figures)
