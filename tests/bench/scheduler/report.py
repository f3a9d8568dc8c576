"""What the benchmark prints: a table for each trace, and at the end one row for each trace and policy."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from tests.bench.scheduler.baselines import BASELINES
from tests.bench.scheduler.results import POLICIES, Played, best_p95, medians, of, optimum_ratios, p95_ratios

HEAD = "trace policy swaps p95_wait_s worst_wait_s lost_s"
COLUMNS = ("swaps", "mean_s", "p95_s", "worst_s", "lost_s", "refused")


def table(played: Sequence[Played]) -> Iterator[str]:
    """The lines about one trace: medians over its seeds, and how Rota compares on each of them."""
    seeds = [one.seed for one in played if one.seed is not None]
    requests = f"{median(one.requests for one in played):.0f} requests"
    yield f"{played[0].trace}: {requests}" + (f", medians over seeds {seeds[0]} to {seeds[-1]}" if seeds else "")
    yield f"  {'policy':12}" + "".join(f"{name:>10}" for name in COLUMNS) + "  longest wait"
    for policy in (*POLICIES, "optimum"):
        results = of(policy, played)
        if results:
            figures = medians(results)
            cells = "".join(f"{figures[name]:>10.{1 if name.endswith('_s') else 0}f}" for name in COLUMNS)
            yield f"  {policy:12}{cells}  {_bound(policy, played)}"
        for reason in {one.failed[policy] for one in played if policy in one.failed}:
            yield f"  {policy:12} cannot play it: {reason}"
    if all(len(one.failed) < len(BASELINES) for one in played):
        yield f"  p95 against the best baseline that keeps the bound: {_p95(played)}"
    if ratios := optimum_ratios(played):
        yield f"  sum of waits against the optimum's: {_spread(ratios)}"


def _bound(policy: str, played: Sequence[Played]) -> str:
    results = of(policy, played)
    broken = [one for one in results if not one.keeps_bound]
    if not broken:
        return f"in its bound, {min(one.spare_s for one in results):.0f} s to spare"
    over_s = -min(one.spare_s for one in broken)
    return f"STARVES on {len(broken)} of {len(results)}, by {over_s:.0f} s"


def _p95(played: Sequence[Played]) -> str:
    names = Counter(best_p95(one).policy for one in played)
    unbounded = sum(not one.bounded() for one in played)
    note = f"; on {unbounded} of {len(played)} none does, so against all" if unbounded else ""
    return f"{_spread(p95_ratios(played))} ({', '.join(names)}{note})"


def _spread(ratios: Sequence[float]) -> str:
    each = ", ".join(f"{one:.2f}" for one in ratios)
    return f"{median(ratios):.2f}" + (f" of {each}" if len(ratios) > 1 else "")


def rows(played: Sequence[Played]) -> Iterator[str]:
    """One line for each policy, with blanks between: trace, policy and medians over the seeds."""
    for policy in (*POLICIES, "optimum"):
        if results := of(policy, played):
            figures = medians(results)
            seconds = " ".join(f"{figures[name]:.2f}" for name in ("p95_s", "worst_s", "lost_s"))
            yield f"{played[0].trace} {policy} {figures['swaps']:g} {seconds}"
