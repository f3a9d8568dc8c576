"""The scheduler in simulated time, beside four baselines and, on small traces, the clairvoyant optimum.

`make bench-scheduler` plays every trace from seeds that the policy was not tuned on, prints a table for each, then what
must be reached with what was, then one row for each trace and policy for a script to read. It ends with 1 if a check
misses. `--trace FILE` plays a trace of one's own instead, without checks.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench.scheduler import decision_time, report
from tests.bench.scheduler.checks import checks
from tests.bench.scheduler.results import Played, play, play_all
from tests.bench.scheduler.trace_file import TraceError, read
from tests.bench.scheduler.traces import NAMES

FIRST_SEED = 11
"""The policy was tuned on seeds 0 to 4; what is measured are others."""
SEEDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 where a check misses, 2 for wrong arguments or files."""
    asked = _parser().parse_args(argv)
    if asked.trace is not None:
        try:
            played = play(read(asked.trace))
        except TraceError as error:
            print(error, file=sys.stderr)
            return 2
        _print_tables([[played]])
        _print_rows([[played]])
        return 0
    seeds = range(FIRST_SEED, FIRST_SEED + asked.seeds)
    print(f"seeds {seeds[0]} to {seeds[-1]}; the policy was tuned on 0 to 4", end="\n\n")
    traces = _print_tables(play_all(asked.only or NAMES, seeds))
    all_checks = list(checks(traces))
    if not asked.only:
        all_checks += decision_time.checks(print)
    print("\nchecks: the largest figure, where it is from, and its limit")
    for check in all_checks:
        print(*check.lines(), sep="\n")
    _print_rows(traces)
    return int(any(check.misses for check in all_checks))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduler", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--trace", type=Path, metavar="FILE", help="a CSV file, with a YAML file of its name beside it")
    which.add_argument("--only", action="append", choices=NAMES, metavar="TRACE", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=_count, default=SEEDS, metavar="N", help=f"how many ({SEEDS})")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, and is '{text}'")
    return int(text)


def _print_tables(traces: Iterable[list[Played]]) -> list[list[Played]]:
    done = []
    for played in traces:
        print(*report.table(played), sep="\n", end="\n\n", flush=True)
        done.append(played)
    return done


def _print_rows(traces: Sequence[Sequence[Played]]) -> None:
    print(f"\n{report.HEAD}")
    for played in traces:
        print(*report.rows(played), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
