"""What is kept of an outcome, and what is compared."""

import pytest

from tests.bench.scheduler import report
from tests.bench.scheduler.checks import Check, checks
from tests.bench.scheduler.results import POLICIES, best_p95, p95_ratios, play, ratio
from tests.bench.scheduler.trace import ModelCosts, Outcome, World, numbered
from tests.bench.scheduler.traces import NAMES, draw


def test_all_policies_play_a_small_trace_and_a_script_can_read_the_rows() -> None:
    played = [play(draw("small-sleep", seed), seed) for seed in (1, 2)]
    rows = [row.split(" ") for row in report.rows(played)]
    assert [row[:2] for row in rows] == [["small-sleep", policy] for policy in (*POLICIES, "optimum")]
    assert all(len(row) == len(report.HEAD.split(" ")) and all(float(cell) >= 0 for cell in row[2:]) for row in rows)
    assert all(not one.failed and one.rota.refused == 0 for one in played)
    least_s = played[0].results["optimum"].total_s
    assert all(one.total_s >= least_s - 1e-6 for one in played[0].results.values())
    assert "STARVES" not in "".join(report.table(played))


def test_there_are_traces_enough_and_seeds_tell_them_apart() -> None:
    assert len(NAMES) >= 10
    assert all(" " not in name for name in NAMES)
    for name in NAMES:
        assert draw(name, 1).requests == draw(name, 1).requests != draw(name, 2).requests


def test_the_bound_is_the_longest_wait_and_the_swap_that_is_needed_then() -> None:
    models = {"a": ModelCosts(gib=20.0, start_s=50.0), "b": ModelCosts(gib=20.0, start_s=80.0, stop_s=3.0)}
    world = World(devices_gib={"gpu0": 24.0}, models=models, max_wait_s=100.0)
    trace = numbered("two", world, [(0.0, "a", 4.0), (1.0, "b", 9.0)])
    assert trace.bounds_s() == {"a": 100.0 + 9.0 + 3.0 + 50.0, "b": 100.0 + 4.0 + 2.0 + 80.0}


def test_who_starves_somebody_is_not_compared_with() -> None:
    [fifo, *_] = played = [play(draw("small-turns-pressed", 0), 0)]
    assert not fifo.results["fifo-lru"].keeps_bound
    assert "fifo-lru" not in {one.policy for one in fifo.bounded()}
    assert p95_ratios(played) == [fifo.rota.p95_s / best_p95(fifo).p95_s]
    assert "STARVES on 1 of 1" in next(line for line in report.table(played) if "fifo-lru" in line)


def test_nothing_against_nothing_is_the_same() -> None:
    assert (ratio(0.0, 0.0), ratio(3.0, 2.0), ratio(1.0, 0.0)) == (1.0, 1.5, float("inf"))


def test_of_twenty_waits_the_nineteenth_is_the_one_that_95_percent_do_not_exceed() -> None:
    assert Outcome("rota", [float(wait) for wait in range(1, 21)]).p95_s == 19.0
    assert Outcome("rota", [5.0]).p95_s == 5.0


def test_a_check_names_all_that_miss_its_limit() -> None:
    check = Check("p95", 1.05, {"one": 1.0, "two": 1.2, "three": 1.1})
    assert list(check.lines()) == [
        "MISS  p95: 1.200 (two), limit 1.050",
        "      MISS two: 1.200",
        "      MISS three: 1.100",
    ]
    assert list(Check("time", 200.0, {"here": 150.4}, "us").lines()) == ["pass  time: 150 us (here), limit 200 us"]


def test_only_what_the_traces_allow_is_checked() -> None:
    slow = [[play(draw("alternation-slow", 1), 1)]]
    assert not any("optimum" in check.what or "pressed" in check.what for check in checks(slow))
    assert all(check.limit == pytest.approx(check.limit) and check.figures for check in checks(slow))
