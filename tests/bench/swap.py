"""What Rota adds to a cold start, beside bare `vllm serve`, both against real vLLM, in turn, three times each.

`swap_overhead_s`: the time from a request for a model that is down to the first byte of its answer, less the time
that bare `vllm serve`, with the same flags, needs from exec to answering the same request. Medians. The same is
measured first with an engine that starts at once, where nothing but Rota's part is left to see. Nothing is parked or
forked here: what that spares is `make bench-coldstart`'s. Run it with `make bench-swap` on a machine that does nothing
else: vLLM's own start varies by seconds.
"""

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import psutil

from tests.bench.starts import bare, chat, through
from tests.e2e.conftest import AGENTS, BUDGET_GIB, fakes, reals
from tests.installation import Installation, running

ROUNDS = 3
FAKE_ROUNDS = 9
MODEL = "medical"


def through_rota(installation: Installation) -> float:
    """Seconds from a request for the model, which is down, to the first byte of its answer."""
    assert installation.state(MODEL) == "stopped"
    took_s = through(installation, chat(MODEL))
    done = installation.manage("stop", MODEL)
    assert done.returncode == 0, done.stderr
    return took_s


def measure(name: str, models: list[dict[str, Any]], rounds: int) -> tuple[float, float]:
    """Bare and through Rota in turn. Returns the medians in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        # It is stopped by hand after each round, and the next request is to start it.
        settings = {"start_after_stop_by_hand": True, "fork": False}
        installation = Installation(Path(folder), models, AGENTS, BUDGET_GIB, **settings)
        with running(installation):
            bare(installation, chat(MODEL))  # not counted: it warms the page cache for both
            rows = []
            for number in range(1, rounds + 1):
                rows.append((bare(installation, chat(MODEL)), through_rota(installation)))
                print(f"{name}, round {number}: bare {rows[-1][0]:.2f} s, through rota {rows[-1][1]:.2f} s", flush=True)
    bare_s, rota_s = (statistics.median(column) for column in zip(*rows, strict=True))
    return bare_s, rota_s


def main() -> None:
    """Print one row a round, then the figures: what is Rota's own part, and the whole with real vLLM."""
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB", flush=True)
    bare_s, rota_s = measure("an engine that starts at once", fakes(), FAKE_ROUNDS)
    print(f"without the noise of vLLM's own start: {rota_s - bare_s:.2f} s are added, medians of {FAKE_ROUNDS}")
    bare_s, rota_s = measure("vLLM", reals(), ROUNDS)
    print(f"medians: bare {bare_s:.2f} s, through rota {rota_s:.2f} s, ratio {rota_s / bare_s:.3f}")
    print(f"swap_overhead_s: {rota_s - bare_s:.2f}")


if __name__ == "__main__":
    main()
