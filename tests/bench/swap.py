"""What Rota adds to a cold start, beside bare `vllm serve`, both against real vLLM, in turn, three times each.

`swap_overhead_s`: the time from a request for a model that is down to the first byte of its answer, less the time
that bare `vllm serve`, with the same flags, needs from exec to answering the same request. Medians. The same is
measured first with an engine that starts at once, where nothing but Rota's part is left to see. Run it with
`make bench-swap` on a machine that does nothing else: vLLM's own start varies by seconds.
"""

import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from catalog.load import load
from catalog.render import Seat, launch
from proxy.adapters.processes import is_zombie, port_holder
from tests.e2e.conftest import AGENTS, BUDGET_GIB, fakes, reals
from tests.installation import REAL_VLLM, Installation, eventually, running

ROUNDS = 3
FAKE_ROUNDS = 9
MODEL = "medical"
BODY = json.dumps(
    {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
)
ANSWER_WITHIN_S = 600.0


def first_byte(port: int) -> float:
    """Ask once. Returns the time at which the first byte of a good answer came. Raises: OSError, HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(1)
        came_at = time.monotonic()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {response.status}: {response.read()!r}")
    return came_at


def bare(installation: Installation) -> float:
    """Seconds from the exec of `vllm serve` to the first byte of its answer, asked every 10 ms."""
    spec = load(installation.catalog, installation.root).models[MODEL]
    wanted = launch(spec, str(REAL_VLLM), Seat(awake_bytes=spec.memory_bytes, kv_cache_bytes=spec.kv_cache_bytes))
    assert port_holder(spec.port) is None, "somebody else would answer"
    began_at = time.monotonic()
    with subprocess.Popen(
        wanted.argv,
        env={**os.environ, **wanted.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as engine:
        try:
            while time.monotonic() - began_at < ANSWER_WITHIN_S:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return first_byte(spec.port) - began_at
                time.sleep(0.01)
            raise TimeoutError("bare vllm serve did not answer")
        finally:
            engine.send_signal(signal.SIGTERM)
            engine.wait(60)
            # Its workers end after their leader. Rota waits for them before it starts another; so must this.
            eventually(lambda: not _is_group(engine.pid), within_s=60)


def _is_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_group_of(process.pid) == group and not is_zombie(process.pid) for process in psutil.process_iter())


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def through_rota(installation: Installation) -> float:
    """Seconds from a request for the model, which is down, to the first byte of its answer."""
    assert installation.state(MODEL) == "stopped"
    began_at = time.monotonic()
    took_s = first_byte(installation.port) - began_at
    done = installation.manage("stop", MODEL)
    assert done.returncode == 0, done.stderr
    return took_s


def measure(name: str, models: list[dict[str, Any]], rounds: int) -> tuple[float, float]:
    """Bare and through Rota in turn. Returns the medians in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        # It is stopped by hand after each round, and the next request is to start it.
        installation = Installation(Path(folder), models, AGENTS, BUDGET_GIB, start_after_stop_by_hand=True)
        with running(installation):
            bare(installation)  # not counted: it warms the page cache for both
            rows = []
            for number in range(1, rounds + 1):
                rows.append((bare(installation), through_rota(installation)))
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
