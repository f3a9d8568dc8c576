"""Parked, started, asked, stopped, parked again: two chat models and an embedder in turn, real vLLM, a hundred times.

Whatever a cycle leaves behind adds up: processes, descriptors, shared memory and semaphores, memory. Prints what there
is at first and at every tenth cycle; ends with an error where there is more than after the tenth, when all that is kept
from then on is there, or an answer is another than the first. Run it with `make bench-cycles`.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from proxy.core.probe import Answer, agrees, answer_of_vector
from tests.bench.starts import ANSWER_WITHIN_S, chat, embedding
from tests.e2e.conftest import reals
from tests.installation import Installation, eventually, running
from tests.shared_memory import SHARED, shared

CYCLES = 100
SETTLED_AFTER = 10
"""So many cycles bring all that is kept: caches, connections, what allocators have once had."""
EMBEDDER = "evidence"
MODELS = ("chat", "claims", EMBEDDER)
BUDGET_GIB = 4.5
"""For one chat model at a time."""
MORE_DESCRIPTORS = 2
MORE_MEMORY = 0.1
"""So much more, and such a part of it, is noise: a connection that is open at the moment, what allocators keep."""


@dataclass(frozen=True, slots=True)
class Left:
    """What there is while all are parked; `shared` are the names that were not there before."""

    processes: int
    descriptors: int
    shared: frozenset[str]
    proxy_mib: float
    parked_mib: float

    def __str__(self) -> str:
        here = f"{self.processes} processes, {self.descriptors} descriptors"
        memory = f"{self.proxy_mib:.0f} MiB proxy, {self.parked_mib:.0f} MiB parked"
        return f"{here}, {len(self.shared)} shared segments and semaphores, {memory}"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=CYCLES)
    cycles = parser.parse_args().cycles
    models = [model for model in reals() if model["name"] in MODELS]
    wrong: list[str] = []
    before = shared()
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        agents = {model.title(): model for model in MODELS}
        with running(Installation(Path(folder), models, agents, BUDGET_GIB, park=True, fork=True)) as box:
            at_rest(box)
            answers = {model: ask(box, model) for model in MODELS}
            settled = left(box, before)
            print(f"cycle   0: {settled}", flush=True)
            took = []
            for cycle in range(1, cycles + 1):
                began_at = time.monotonic()
                model = MODELS[cycle % len(MODELS)]
                if not agrees(answers[model], answer := ask(box, model)):
                    wrong.append(f"cycle {cycle}: {model} said {answer!r}, not {answers[model]!r}")
                took.append(time.monotonic() - began_at)
                now = left(box, before)
                if cycle % 10 == 0:
                    print(f"cycle {cycle:>3}: {now}; the last ten took {sum(took[-10:]) / 10:.1f} s each", flush=True)
                if cycle <= SETTLED_AFTER:
                    settled = now
                wrong += worse(settled, now, f"cycle {cycle}")
                if len(wrong) > 10:
                    break
    if over := shared() - before:
        wrong.append(f"at the end {sorted(over)} are left in {SHARED}")
    print("\n".join(wrong) or f"cycles: {cycles}, nothing left over, every answer right")
    return 1 if wrong else 0


def ask(box: Installation, model: str) -> Answer:
    """Its answer, once it is up and has stopped again, and all are parked with their imports done."""
    path, body = embedding(model) if model == EMBEDDER else chat(model, max_tokens=20)
    answer = httpx.post(f"{box.url}{path}", json={**body, "keep_alive": 0}, timeout=ANSWER_WITHIN_S, trust_env=False)
    told = answer.raise_for_status().json()
    at_rest(box)
    if model == EMBEDDER:
        return answer_of_vector(told["data"][0]["embedding"])
    return Answer(text=told["choices"][0]["message"]["content"])


def at_rest(box: Installation) -> None:
    """Until all are parked, with their imports done."""
    eventually(lambda: all(one["parked_bytes"] for one in box.status()["engines"]), within_s=120, every_s=0.2)


def left(box: Installation, before: frozenset[str]) -> Left:
    """What there is now; `before` are the names of what was shared before."""
    proxy = psutil.Process(box.status()["proxy"]["pid"])
    supervisord = psutil.Process(int((box.root / "var/run/supervisord.pid").read_text()))
    parked = [psutil.Process(one["pid"]) for one in box.status()["engines"]]
    return Left(
        processes=len(supervisord.children(recursive=True)),
        descriptors=sum(one.num_fds() for one in (proxy, supervisord, *parked)),
        shared=shared() - before,
        proxy_mib=proxy.memory_info().rss / 2**20,
        parked_mib=sum(one.memory_full_info().pss for one in parked) / 2**20,
    )


def worse(settled: Left, now: Left, when: str) -> list[str]:
    """What there is more of than there may be."""
    most = {
        "processes": settled.processes,
        "descriptors": settled.descriptors + MORE_DESCRIPTORS,
        "proxy_mib": settled.proxy_mib * (1 + MORE_MEMORY),
        "parked_mib": settled.parked_mib * (1 + MORE_MEMORY),
    }
    grown = [
        f"{when}: {name} {getattr(now, name):.0f}, at most {allowed:.0f} are right"
        for name, allowed in most.items()
        if getattr(now, name) > allowed
    ]
    if len(now.shared) > len(settled.shared):
        grown.append(f"{when}: {sorted(now.shared - settled.shared)} are new in {SHARED}")
    return grown


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB", flush=True)
    sys.exit(main())
