"""Parked, started, asked, stopped, parked again: two models in turn, on real vLLM, a hundred times.

Whatever a cycle leaves behind adds up: processes, descriptors of the proxy and of supervisord, shared memory and
semaphores, memory. Prints what there is at the first cycle, at every tenth, and at the end; ends with an error where
something is left over or an answer is another than the first. Run it with `make bench-cycles`.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.e2e.conftest import reals
from tests.installation import Installation, eventually, running

CYCLES = 100
MODELS = ("chat", "claims")
BUDGET_GIB = 4.5
"""For one of the two at a time."""
SHARED = Path("/dev/shm")  # noqa: S108  # where Linux has shared memory and semaphores
GROWN = 1.1
"""So many times what there was is noise: allocators keep what they have once had."""


@dataclass(frozen=True, slots=True)
class Left:
    """What there is while both are at rest, one parked and one serving, or both parked."""

    processes: int
    descriptors: int
    shared: int
    proxy_mib: float
    parked_mib: float

    def __str__(self) -> str:
        here = f"{self.processes} processes, {self.descriptors} descriptors of the proxy and supervisord"
        memory = f"{self.proxy_mib:.0f} MiB proxy, {self.parked_mib:.0f} MiB parked"
        return f"{here}, {self.shared} shared segments and semaphores, {memory}"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=CYCLES)
    cycles = parser.parse_args().cycles
    models = [model for model in reals() if model["name"] in MODELS]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        agents = {model.title(): model for model in MODELS}
        with running(Installation(Path(folder), models, agents, BUDGET_GIB, park=True, fork=True)) as box:
            at_rest(box)
            answers = {model: ask(box, model) for model in MODELS}
            first = left(box)
            print(f"cycle   0: {first}", flush=True)
            took = []
            for cycle in range(1, cycles + 1):
                began_at = time.monotonic()
                model = MODELS[cycle % 2]
                if (answer := ask(box, model)) != answers[model]:
                    wrong.append(f"cycle {cycle}: {model} said {answer!r}, not {answers[model]!r}")
                took.append(time.monotonic() - began_at)
                now = left(box)
                if cycle % 10 == 0:
                    print(f"cycle {cycle:>3}: {now}; the last ten took {sum(took[-10:]) / 10:.1f} s each", flush=True)
                wrong += worse(first, now, f"cycle {cycle}")
                if len(wrong) > 10:
                    break
    if over := [path.name for path in SHARED.iterdir()]:
        wrong.append(f"at the end {over} are left in {SHARED}")
    print("\n".join(wrong) or f"cycles: {cycles}, nothing left over, every answer right")
    return 1 if wrong else 0


def ask(box: Installation, model: str) -> str:
    """Its answer, once it is up and has stopped again, and both are parked with their imports done."""
    answer = box.chat(model=model, max_tokens=20, temperature=0, keep_alive=0)
    answer.raise_for_status()
    at_rest(box)
    return str(answer.json()["choices"][0]["message"]["content"])


def at_rest(box: Installation) -> None:
    """Until both are parked, with their imports done."""
    eventually(lambda: all(one["parked_bytes"] for one in box.status()["engines"]), within_s=120, every_s=0.2)


def left(box: Installation) -> Left:
    """What there is now."""
    proxy = psutil.Process(box.status()["proxy"]["pid"])
    supervisord = psutil.Process(int((box.root / "var/run/supervisord.pid").read_text()))
    parked = [psutil.Process(one["pid"]) for one in box.status()["engines"]]
    return Left(
        processes=len(supervisord.children(recursive=True)),
        descriptors=proxy.num_fds() + supervisord.num_fds(),
        shared=len(list(SHARED.iterdir())),
        proxy_mib=proxy.memory_info().rss / 2**20,
        parked_mib=sum(one.memory_full_info().pss for one in parked) / 2**20,
    )


def worse(first: Left, now: Left, when: str) -> list[str]:
    """What there is more of than at first."""
    grown = [
        (name, getattr(first, name), getattr(now, name), allowed)
        for name, allowed in (
            ("processes", 1),
            ("shared", 1),
            ("descriptors", 1.5),
            ("proxy_mib", 1.5),
            ("parked_mib", GROWN),
        )
    ]
    return [
        f"{when}: {name} {after}, at first {before}" for name, before, after, most in grown if after > before * most
    ]


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB", flush=True)
    sys.exit(main())
