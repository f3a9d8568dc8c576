"""The verb that holds the catalog against reality: its files, its facts, the installed vLLM, this machine's GPUs."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from catalog.amounts import sleep_levels_of
from catalog.check import vllm_question
from catalog.check.check import Aspect, Facts, Finding, Need, findings
from catalog.check.facts import facts_of
from catalog.check.vllm_question import Answer, Case, Question
from catalog.estimate.checkpoint import read_checkpoint
from catalog.estimate.estimate import estimate
from catalog.estimate.flags import flags_of
from catalog.estimate.tensors import CheckpointError
from catalog.interpreter import python_of
from catalog.render import Seat, launch
from catalog.spec import ModelSpec
from catalog.yaml_file import CatalogError
from proxy.adapters import nvml
from proxy.adapters.devices import open_devices
from proxy.adapters.launcher import gguf_obstacles
from proxy.core.devices import Device, DeviceError, DeviceKind
from proxy.daemon import DaemonError
from proxy.settings import Layout, load_settings
from proxy.verbs.catalogs import NoSuchModel, add_catalog, catalog_folder, in_words, picked, surveyed
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Verbs

ASKED_WITHIN_S = 600.0
_CODE = Path(vllm_question.__file__).parents[2]
"""The folder from which vLLM's Python imports `catalog`."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One that a model may run on; AMD's have no compute capability."""

    device: Device
    capability: tuple[int, int] | None


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Hold the catalog against reality: its flags, models, files, this machine's GPUs; exits with 1 on a fault."
    sub = verbs.add("check", check, what)
    sub.add_argument("models", metavar="MODEL", nargs="*", help="only these; all of the catalog if none is given")
    add_catalog(sub)
    sub.add_argument("--quick", action="store_true", help="without asking vLLM, which takes some ten seconds")
    sub.add_argument("--hashes", action="store_true", help="compare the hashes of large files too: reads all of them")
    sub.add_argument("--json", action="store_true", help="for programs")


def check(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status."""
    catalog, errors = surveyed(here, arguments.catalog)
    broken = {error.path.stem for error in errors}
    names = [name for name in arguments.models if name not in broken]
    try:
        specs = [] if arguments.models and not names else picked(here, catalog, names)
    except NoSuchModel as unknown:
        print(unknown, file=sys.stderr)
        return EXIT_USAGE
    gpus = _gpus()
    facts: dict[str, Facts] = {}
    found: list[Finding] = []
    unserved: set[str] = set()
    ours = here.root / load_settings(here.root, os.environ).vllm
    for spec in specs:
        folder = catalog_folder(here, catalog, spec)
        facts[spec.name] = facts_of(spec, here.root, folder, with_hashes=arguments.hashes)
        found += findings(spec, facts[spec.name], _need(spec, here.root, folder, gpus))
        if facts[spec.name].is_there and (why := gguf_obstacles(spec, _executable(spec, ours), bool(gpus))):
            found += [Finding(spec.name, Aspect.FILES, one.removeprefix(f"{spec.name}'s ")) for one in why]
            unserved.add(spec.name)  # what vLLM would say of such a file is no help
    asked: list[str] = []
    if not arguments.quick:
        told, asked = _of_vllm(ours, [spec for spec in specs if spec.name not in unserved], facts, gpus)
        known = {(one.model, one.aspect) for one in found}
        found += [one for one in told if (one.model, one.aspect) not in known]
    order = [spec.name for spec in specs]
    found.sort(key=lambda one: (order.index(one.model), not one.is_fault))
    faults = len(errors) + sum(one.is_fault for one in found)
    if arguments.json:
        print(json.dumps(_as_json(specs, facts, found, asked, errors), indent=2))
    else:
        for error in errors:
            print(" ".join(str(error).split()))
        _print(found, facts.values(), arguments, asked)
        where = in_words(here, catalog.folder)
        print(f"checked {_count(len(specs), 'model')} of {where}: {_count(faults, 'fault')}")
    return EXIT_FAILED if faults else EXIT_DONE


def _need(spec: ModelSpec, root: Path, catalog: Path, gpus: list[Gpu]) -> Need | None:
    """What the estimator says. What an engine takes of the host's memory is too uncertain to call a figure wrong."""
    total_bytes = _total_bytes(spec, gpus)
    try:
        told = estimate(read_checkpoint(spec, root, catalog), flags_of(spec), total_bytes)
    except (CheckpointError, ValueError):
        return None  # told elsewhere
    if not told.is_known:
        return None
    kv_bytes = max(told.kv_one_request_bytes, spec.kv_cache_bytes or 0)
    all_bytes = None if total_bytes is None else told.fixed_bytes + kv_bytes
    return Need(all_bytes, told.kv_one_request_bytes, told.weights_bytes)


def _executable(spec: ModelSpec, ours: Path) -> Path:
    return Path(spec.vllm) if spec.vllm else ours


def _of_vllm(
    ours: Path, specs: list[ModelSpec], facts: dict[str, Facts], gpus: list[Gpu]
) -> tuple[list[Finding], list[str]]:
    """What vLLM finds, and which was asked; each environment that has one is asked once. Raises: DaemonError."""
    found, asked, cases = list[Finding](), list[str](), dict[Path, list[Case]]()
    for spec in specs:
        executable = _executable(spec, ours)
        try:
            case = _case(spec, facts[spec.name], str(executable), gpus)
        except ValueError as error:
            found.append(Finding(spec.name, Aspect.MEMORY, str(error).removeprefix(f"{spec.name}: ")))
        else:
            cases.setdefault(python_of(executable), []).append(case)
    for python, its in cases.items():
        if not python.exists():
            asked.append(f"{python} is not there: vLLM was not asked about {', '.join(case.model for case in its)}")
            continue
        answer = _ask(python, Question(cases=its))
        asked.append(f"vLLM {answer.vllm} was asked")
        found += [Finding(one.model, one.aspect, one.what, one.remedy) for one in answer.faults]
    return found, asked


def _case(spec: ModelSpec, facts: Facts, executable: str, gpus: list[Gpu]) -> Case:
    """The command line that the gate would give. Raises: ValueError where there can be none."""
    total_bytes = _total_bytes(spec, gpus)
    seat = Seat(
        awake_bytes=spec.memory_bytes,
        kv_cache_bytes=spec.kv_cache_bytes,
        total_bytes=total_bytes,
        can_sleep=bool(sleep_levels_of(spec, total_bytes is not None)),
    )
    known = [gpu.capability for gpu in _allowed(spec, gpus) if gpu.capability is not None]
    return Case(
        model=spec.name,
        argv=launch(spec, executable, seat).argv[1:],
        env=spec.env,
        # Of a GGUF file the plugin reads another: the one beside it.
        config=None if facts.config is None or spec.is_gguf else dict(facts.config),
        embedder=spec.embedder,
        capability=min(known, default=None),
    )


def _gpus() -> list[Gpu]:
    """Those of this machine. Raises: DaemonError."""
    try:
        devices = open_devices(limit_bytes=None, reserve_bytes=0, budget_bytes=None).devices
        gpus = [one for one in devices if one.kind is not DeviceKind.CPU]
        known = nvml.compute_capabilities() if any(one.kind is not DeviceKind.AMD for one in gpus) else {}
    except DeviceError as error:
        raise DaemonError(f"the GPUs cannot be read: {error}") from error
    return [Gpu(one, known.get(one.id)) for one in gpus]


def _allowed(spec: ModelSpec, gpus: list[Gpu]) -> list[Gpu]:
    """Those that `spec` may run on: all where it names none, or none that is here."""
    return [gpu for gpu in gpus if {gpu.device.id, gpu.device.name} & set(spec.devices)] or gpus


def _total_bytes(spec: ModelSpec, gpus: list[Gpu]) -> int | None:
    """The whole memory of the smallest of them, None where there is no GPU."""
    return min((gpu.device.total_bytes for gpu in _allowed(spec, gpus)), default=None)


def _ask(python: Path, question: Question) -> Answer:
    """Raises: DaemonError."""
    argv, text = [str(python), "-m", "catalog.check.vllm_check"], msgspec.json.encode(question)
    try:
        done = subprocess.run(argv, input=text, capture_output=True, cwd=_CODE, check=False, timeout=ASKED_WITHIN_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DaemonError(f"vLLM cannot be asked: {error}; --quick does without it") from error
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise DaemonError(
            f"vLLM cannot be asked ({python} ended with {done.returncode}): {last}; --quick does without it"
        )
    return msgspec.json.decode(done.stdout, type=Answer)


def _print(found: list[Finding], facts: Iterable[Facts], arguments: argparse.Namespace, asked: list[str]) -> None:
    for one in found:
        print(one)
    for what in asked:
        print(f"note: {what}")
    if arguments.quick:
        print("note: vLLM was not asked (--quick)")
    if any(one.is_there for one in facts) and not arguments.hashes:
        print("note: of large files only the size was compared; --hashes reads all of them")


def _as_json(
    specs: list[ModelSpec], facts: dict[str, Facts], found: list[Finding], asked: list[str], errors: list[CatalogError]
) -> dict[str, Any]:
    def told(one: Finding) -> dict[str, Any]:
        return {"aspect": one.aspect, "is_fault": one.is_fault, "what": one.what, "remedy": one.remedy}

    models = [
        {
            "model": spec.name,
            "is_there": facts[spec.name].is_there,
            "facts": facts[spec.name].origin,
            "findings": [told(one) for one in found if one.model == spec.name],
        }
        for spec in specs
    ]
    faults = len(errors) + sum(one.is_fault for one in found)
    told_of_files = [str(error) for error in errors]
    return {"models": models, "files": told_of_files, "vllm": asked, "checked": len(specs), "faults": faults}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
