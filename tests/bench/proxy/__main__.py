"""`make bench-proxy`: what a request and an event cost in each proxy, all in one run, in turn, by medians.

One stand-in for an engine (`stand_in`) serves all of them. Loads: wrk with 64 connections in a closed loop, requests
and then streams of 100 events; the cost is the CPU time of the proxy's own processes. Then one connection asks one
request at a time, in turn through the proxy and directly; the difference of the medians is what the proxy adds.
What keys and the audit cost is measured in many short turns of Rota with and without them, by the median difference.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.proxy.contenders import MODEL, PEERS_BY_NAME, Absent, Running, end, rota
from tests.bench.proxy.load import Cost, OneByOne, body, closed_loop, per_event

ROTA = "rota"
BY_AGENT_TYPE = "rota, by agent_type"
GUARDED = "rota, keys and audit"
STRICT = "rota, keys and strict audit"
OWN = (ROTA, BY_AGENT_TYPE, GUARDED, STRICT)
TURNS = 15
TURN_S = 1
WARM_UP_S = 1.0
ASKED_ONE_BY_ONE = 2000


@dataclass(slots=True)
class Row:
    """What was measured of one proxy."""

    requests: list[Cost] = field(default_factory=list)
    streams: list[Cost] = field(default_factory=list)
    added_us: list[float] = field(default_factory=list)

    @property
    def us(self) -> float:
        """CPU for each request."""
        return statistics.median(cost.us for cost in self.requests)

    @property
    def event_us(self) -> float:
        """CPU for each event."""
        return statistics.median(per_event(cost) for cost in self.streams)

    @property
    def p50_added_us(self) -> float:
        """What it adds to one request at a time."""
        return statistics.median(self.added_us)

    @property
    def per_second(self) -> float:
        """Requests in the closed loop."""
        return statistics.median(cost.per_second for cost in self.requests)

    @property
    def errors(self) -> int:
        """Of all."""
        return sum(cost.errors for cost in (*self.requests, *self.streams))


def added_us(one: Running, engine: int) -> float:
    """The median of what a proxy adds, asked in turn with `engine` directly."""
    through, direct = OneByOne(one.port, body(MODEL), one.key), OneByOne(engine, body(MODEL))
    try:
        pairs = [(through.ask_us(), direct.ask_us()) for _ in range(ASKED_ONE_BY_ONE)]
    finally:
        through.close()
        direct.close()
    return statistics.median(one for one, _ in pairs) - statistics.median(other for _, other in pairs)


def measure(proxies: dict[str, Running], engine: int, rounds: int, seconds: float, folder: Path) -> dict[str, Row]:
    """Every proxy in turn, `rounds` times."""
    rows = {name: Row() for name in proxies}
    for number in range(rounds + 1):
        for name, one in proxies.items():
            asked = body("Chat", key="agent_type") if name == BY_AGENT_TYPE else body(MODEL)
            for_s = seconds if number else WARM_UP_S
            request = closed_loop(one.port, asked, for_s, one.pids, folder, one.key)
            stream = closed_loop(one.port, body(MODEL, stream=True), for_s, one.pids, folder, one.key)
            if number:
                rows[name].requests.append(request)
                rows[name].streams.append(stream)
                rows[name].added_us.append(added_us(one, engine))
        print(f"round {number} of {rounds}{'' if number else ' (not counted)'}", flush=True)
    return rows


def more_us(proxies: dict[str, Running], name: str, folder: Path) -> float:
    """What a request costs more in `name` than in Rota without keys and audit, in us."""
    more = []
    for _ in range(TURNS):
        plain, other = (
            closed_loop(one.port, body(MODEL), TURN_S, one.pids, folder, one.key)
            for one in (proxies[ROTA], proxies[name])
        )
        more.append(other.us - plain.us)
    return statistics.median(more)


def show(rows: dict[str, Row]) -> None:
    """The table, then the ratios of Rota to nginx, then the line for machines."""
    print(f"{'proxy':28}{'us/request':>12}{'us/event':>10}{'p50 added us':>14}{'requests/s':>12}{'errors':>8}")
    for name, row in sorted(rows.items(), key=lambda pair: pair[1].us):
        figures = f"{row.us:12.1f}{row.event_us:10.2f}{row.p50_added_us:14.0f}{row.per_second:12.0f}"
        print(f"{name:28}{figures}{row.errors:8}{'  NOT SOUND' if row.errors else ''}")
    ours = rows[ROTA]
    for name, row in rows.items():
        if name not in OWN:
            print(f"rota / {name}: request {ours.us / row.us:.2f}, event {ours.event_us / row.event_us:.2f}")
    for name in (GUARDED, STRICT):
        more = rows[name]
        print(
            f"{name}: {more.event_us - ours.event_us:+.2f} us an event, "
            f"{more.p50_added_us - ours.p50_added_us:+.0f} us at one connection"
        )
    print(
        f"proxy_cpu_us_per_request: {ours.us:.1f} per_event: {ours.event_us:.2f} p50_added_us: {ours.p50_added_us:.0f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", help="names, with commas between them")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(PEERS_BY_NAME)
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}", flush=True)
    started: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            rota(folder / "open") as (ours, engine),
            rota(folder / "guarded", is_guarded=True) as (guarded, _),
            rota(folder / "strict", is_guarded=True, is_strict=True) as (strict, _),
        ):
            proxies = {ROTA: ours, BY_AGENT_TYPE: ours, GUARDED: guarded, STRICT: strict}
            try:
                for peer, start in PEERS_BY_NAME.items():
                    if peer not in wanted:
                        continue
                    try:
                        proxies[peer] = start(folder, engine)
                        started += proxies[peer].pids
                    except (Absent, subprocess.SubprocessError) as error:
                        print(f"{peer}: not measured: {error}", file=sys.stderr)
                for name in (GUARDED, STRICT):
                    print(f"{name}: {more_us(proxies, name, folder):+.1f} us a request", flush=True)
                show(measure(proxies, engine, arguments.rounds, arguments.seconds, folder))
            finally:
                end(started)


if __name__ == "__main__":
    main()
