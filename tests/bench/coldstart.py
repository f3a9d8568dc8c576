"""Cold starts of real vLLM, from the request (or the exec) to the first byte of the answer, five times each, in turn.

Bare `vllm serve`; plain through the proxy, nothing ahead and nothing forked; parked, with vLLM's processes spawned; and
parked, with them forked. All for the demo's chat model and its embedder. `coldstart_ratio` is the median of the last
over that of the first, for the model for which it is the worse. Run it with `make bench-coldstart` on a machine that
does nothing else.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil

from tests.bench.starts import Question, bare, chat, embedding, through
from tests.e2e.conftest import reals
from tests.installation import Installation, eventually, running

ROUNDS = 5
BUDGET_GIB = 4.5
AGENTS = {"Chat": "chat", "Evidence": "evidence"}
QUESTIONS: dict[str, Callable[..., Question]] = {"chat": chat, "evidence": embedding}
METHODS = {
    "plain through the proxy": {"park": False, "fork": False, "overlap": False},
    "parked, spawned": {"park": True, "fork": False},
    "parked, forked": {"park": True, "fork": True},
}
BARE = "bare vllm serve"


def main() -> None:
    """Print one row for each start, then the medians and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB", flush=True)
    took: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        boxes = {name: box(stack, settings) for name, settings in METHODS.items()}
        wait_idle(boxes)
        for model in QUESTIONS:
            bare(boxes["plain through the proxy"], QUESTIONS[model](model))  # not counted: it warms the page cache
        for number in range(1, rounds + 1):
            for model, name, took_s in in_turn(boxes):
                took.setdefault((model, name), []).append(took_s)
                print(f"round {number}  {model:<10} {name:<26} {took_s:6.2f} s", flush=True)
    print(f"medians of {rounds}:")
    ratios = []
    for model in QUESTIONS:
        bare_s = statistics.median(took[model, BARE])
        for name in (BARE, *METHODS):
            median_s = statistics.median(took[model, name])
            print(f"{model:<10} {name:<26} {median_s:6.2f} s  {median_s / bare_s:5.2f} of bare")
        ratios.append(statistics.median(took[model, "parked, forked"]) / bare_s)
    print(f"coldstart_ratio: {max(ratios):.2f}")


def box(stack: ExitStack, settings: dict[str, bool]) -> Installation:
    """An installation of its own, with both models on ports of their own."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c")))
    models = [model for model in reals() if model["name"] in QUESTIONS]
    return stack.enter_context(running(Installation(folder, models, AGENTS, BUDGET_GIB, **settings)))


def in_turn(boxes: dict[str, Installation]) -> Iterator[tuple[str, str, float]]:
    """Each model by each method once; nothing else is done meanwhile."""
    for model, question in QUESTIONS.items():
        wait_idle(boxes)
        yield model, BARE, bare(boxes["plain through the proxy"], question(model))
        for name, installation in boxes.items():
            wait_idle(boxes)
            yield (
                model,
                name,
                through(installation, question(model, keep_alive=0)),
            )  # it goes as soon as it has answered
    wait_idle(boxes)


def wait_idle(boxes: dict[str, Installation]) -> None:
    """Until all engines are down, and all processes that are to be parked have their imports done."""
    for name, installation in boxes.items():
        state = "parked" if METHODS[name]["park"] else "stopped"
        eventually(partial(is_idle, installation, state), within_s=120, every_s=0.2)


def is_idle(installation: Installation, state: str) -> bool:
    """Whether all engines are in `state`, and at the gate if they are parked."""
    engines = installation.status()["engines"]
    return all(one["state"] == state and (state == "stopped" or one["parked_bytes"]) for one in engines)


if __name__ == "__main__":
    main()
