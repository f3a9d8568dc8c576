"""Plays traces under all policies, and keeps of each outcome what is compared. Seconds."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from statistics import median

from tests.bench.scheduler.baselines import BASELINES
from tests.bench.scheduler.optimum import optimum
from tests.bench.scheduler.rota import rota
from tests.bench.scheduler.trace import Outcome, Trace
from tests.bench.scheduler.traces import draw

POLICIES = ("rota", *BASELINES)
PROCESSES = 2
TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one trace under one policy."""

    policy: str
    swaps: int
    mean_s: float
    p95_s: float
    worst_s: float
    lost_s: float
    refused: int
    total_s: float
    """The sum of all waits."""
    spare_s: float
    """How far within its bound the tightest wait is; below zero where somebody waited longer than that."""

    @property
    def keeps_bound(self) -> bool:
        """Whether nobody waited longer than `max_wait_s` and the swap that was needed."""
        return self.spare_s >= -TOLERANCE_S


@dataclass(frozen=True, slots=True)
class Played:
    """One trace, drawn from one seed, under all policies; those that cannot play it with the reason."""

    trace: str
    seed: int | None
    requests: int
    results: dict[str, Result]
    failed: dict[str, str]

    def bounded(self) -> list[Result]:
        """The baselines that keep the bound."""
        return [one for name, one in self.results.items() if name in BASELINES and one.keeps_bound]

    @property
    def rota(self) -> Result:
        """What is measured."""
        return self.results["rota"]


def play(trace: Trace, seed: int | None = None) -> Played:
    """Play `trace` under Rota and all baselines and, where it is small, as well as can be."""
    ours = rota(trace)
    outcomes, failed = [ours], {}
    for name, baseline in BASELINES.items():
        try:
            outcomes.append(baseline(trace))
        except RuntimeError as error:
            failed[name] = str(error)
    if trace.is_small:
        outcomes.append(optimum(trace, sum(ours.waits_s)))
    results = {one.policy: _result(trace, one) for one in outcomes}
    return Played(trace.name, seed, len(trace.requests), results, failed)


def play_all(names: Sequence[str], seeds: Sequence[int]) -> Iterator[list[Played]]:
    """Play each trace from each seed, in a few processes. Yields those of one trace, in the order of `names`."""
    jobs = list(product(names, seeds))
    with ProcessPoolExecutor(PROCESSES) as processes:
        played = processes.map(_play_drawn, *zip(*jobs, strict=True))
        for _ in names:
            yield [next(played) for _ in seeds]


def _play_drawn(name: str, seed: int) -> Played:
    return play(draw(name, seed), seed)


def _result(trace: Trace, outcome: Outcome) -> Result:
    bounds_s = trace.bounds_s()
    return Result(
        policy=outcome.policy,
        swaps=outcome.swaps,
        mean_s=outcome.mean_s,
        p95_s=outcome.p95_s,
        worst_s=outcome.worst_s,
        lost_s=outcome.lost_s,
        refused=outcome.refused,
        total_s=sum(outcome.waits_s),
        spare_s=min(bounds_s[one.model] - outcome.waits_s[one.number] for one in trace.requests),
    )


def of(policy: str, played: Iterable[Played]) -> list[Result]:
    """The results of one policy; none where it could not play."""
    return [one.results[policy] for one in played if policy in one.results]


def ratio(ours: float, theirs: float) -> float:
    """`ours` in parts of `theirs`; 1 where both are nothing, infinite where only theirs is."""
    if abs(theirs) <= TOLERANCE_S:
        return 1.0 if abs(ours) <= TOLERANCE_S else float("inf")
    return ours / theirs


def best_p95(played: Played) -> Result:
    """The baseline with the best p95 among those that keep the bound; where none does, among all."""
    baselines = played.bounded() or [one for name, one in played.results.items() if name in BASELINES]
    return min(baselines, key=lambda one: one.p95_s)


def p95_ratios(played: Iterable[Played]) -> list[float]:
    """By seed, Rota's p95 wait in parts of the best baseline's."""
    return [ratio(one.rota.p95_s, best_p95(one).p95_s) for one in played]


def optimum_ratios(played: Iterable[Played]) -> list[float]:
    """By seed, Rota's sum of waits in parts of the optimum's; none where that is not known."""
    return [ratio(one.rota.total_s, best.total_s) for one in played if (best := one.results.get("optimum"))]


def medians(results: Sequence[Result]) -> dict[str, float]:
    """The medians of all figures, by name."""
    names = ("swaps", "mean_s", "p95_s", "worst_s", "lost_s", "refused")
    return {name: float(median(getattr(one, name) for one in results)) for name in names}
