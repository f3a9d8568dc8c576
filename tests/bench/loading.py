"""How long real vLLM reads a model's weights from the disk at hand, by each load format and safetensors strategy.

Each start is bare `vllm serve` with Rota's flags and those of one way to load; what counts is what its log says:
"Loading weights took". Cold: the files are dropped from the page cache before (posix_fadvise(2), POSIX_FADV_DONTNEED,
as far as nobody has them mapped); warm: they are in it. Formats whose package vLLM does not have are told and left out.

    make bench-loading                       the demo's chat model
    make bench-loading MODEL=my-model        one of your catalog (setting `catalog`), on your disk

The fastest goes into the model's file, as `vllm_args: {safetensors-load-strategy: prefetch}`.
"""

import argparse
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

from catalog.load import load
from catalog.spec import ModelSpec
from proxy.adapters.page_cache import files_of
from proxy.settings import layout, load_settings
from tests.bench.starts import last_words, serving

ROUNDS = 3
LOADS_WITHIN_S = 900.0
WAYS: dict[str, tuple[str, ...]] = {
    "auto": (),
    "safetensors, lazy": ("--safetensors-load-strategy", "lazy"),
    "safetensors, eager": ("--safetensors-load-strategy", "eager"),
    "safetensors, prefetch": ("--safetensors-load-strategy", "prefetch"),
    "fastsafetensors": ("--load-format", "fastsafetensors"),
    "runai_streamer": ("--load-format", "runai_streamer"),
}
NEEDS = {"fastsafetensors": "fastsafetensors", "runai_streamer": "runai_model_streamer"}
"""Which package a way needs in vLLM's environment."""
TOOK = re.compile(rb"Loading weights took ([0-9.]+) seconds")


def main() -> None:
    """Print one row for each start, then the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="demo-chat")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    here = layout()
    settings = load_settings(here.root, os.environ)
    spec = load(here.root / settings.catalog, here.root).models[given.model]
    vllm = here.root / settings.vllm
    ways = {name: flags for name, flags in WAYS.items() if has(vllm, name)}
    size = sum(path.stat().st_size for path in files_of(here.root / spec.weights))
    print(f"{spec.name}, {size / 2**20:.0f} MiB in {here.root / spec.weights}", flush=True)
    took: dict[tuple[str, str], list[float]] = {}
    for number in range(1, given.rounds + 1):
        for name, flags in ways.items():
            for state in ("cold", "warm"):
                if state == "cold":
                    drop(here.root, spec)
                seconds = loaded_s(spec, vllm, flags)
                took.setdefault((name, state), []).append(seconds)
                print(f"round {number}  {name:<24} {state}  {seconds:7.2f} s", flush=True)
    print(f"medians of {given.rounds}: {'':<6} cold     warm")
    for name in ways:
        cold, warm = (statistics.median(took[name, state]) for state in ("cold", "warm"))
        print(f"{name:<24} {cold:7.2f} s {warm:7.2f} s")
    best = min(ways, key=lambda name: statistics.median(took[name, "cold"]))
    print(f"quickest from a cold disk: {best}")


def has(vllm: Path, way: str) -> bool:
    """Whether vLLM can load this way; says so where it cannot."""
    if (package := NEEDS.get(way)) is None:
        return True
    argv = [vllm.parent / "python", "-c", f"import {package}"]
    if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
        return True
    print(f"{way}: left out, vLLM's environment has no package {package}", flush=True)
    return False


def drop(root: Path, spec: ModelSpec) -> None:
    """Have the kernel forget the files' pages."""
    for path in files_of(root / spec.weights):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def loaded_s(spec: ModelSpec, vllm: Path, flags: tuple[str, ...]) -> float:
    """Start it, wait for the line, end it. Raises: TimeoutError, with the end of its log."""
    deadline = time.monotonic() + LOADS_WITHIN_S
    with serving(spec, vllm, *flags, at_once=True) as (engine, log):
        is_over = False
        while not is_over and time.monotonic() < deadline:
            is_over = engine.poll() is not None
            log.seek(0)
            if (found := TOOK.search(log.read())) is not None:
                return float(found[1])
            time.sleep(0.1)
        raise TimeoutError(f"{spec.name} has not loaded:\n{last_words(log)}")


if __name__ == "__main__":
    main()
