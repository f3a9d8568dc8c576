"""`make bench-workers`: whether a second process that forwards would serve more on this machine.

The bare relay, which knows of no leases and asks nobody, is measured with one process and with two that share its port:
more than two workers of a real proxy could reach, since those must also agree on leases.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.proxy.contenders import MODEL, Running, end, rota
from tests.bench.proxy.load import Cost, body, closed_loop
from tests.installation import CHECKOUT, free_port

ROUNDS = 5
SECONDS = 2.0


def relays(count: int, engine: int) -> Running:
    """So many processes on one port."""
    port = free_port()
    argv = [sys.executable, "-m", "tests.bench.proxy.plain", "bare", str(port), str(engine)]
    pids = [subprocess.Popen(argv, cwd=CHECKOUT, start_new_session=True).pid for _ in range(count)]
    time.sleep(2.0)  # each of them has to listen: who connects reaches one of those that do
    return Running(port, pids)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, rota(Path(name) / "rota", is_guarded=False) as (_, engine):
        one, two = relays(1, engine), relays(2, engine)
        costs: dict[int, list[Cost]] = {1: [], 2: []}
        try:
            for _ in range(ROUNDS):
                for count, some in ((1, one), (2, two)):
                    costs[count].append(closed_loop(some.port, body(MODEL), SECONDS, some.pids, Path(name)))
        finally:
            end([*one.pids, *two.pids])
    print(f"{os.cpu_count()} cores; wrk and the stand-in run on them, too")
    for count, some in costs.items():
        per_second = statistics.median(cost.per_second for cost in some)
        print(
            f"{count} processes: {per_second:.0f} requests/s, {statistics.median(cost.us for cost in some):.1f} us each"
        )
    rates = [statistics.median(cost.per_second for cost in costs[count]) for count in (1, 2)]
    print(f"two_workers_throughput_ratio: {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    main()
