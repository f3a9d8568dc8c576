"""The verb that holds the catalog against reality: its files, its facts, the installed vLLM, this machine's GPUs."""

import argparse
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from catalog import vllm_question
from catalog.amounts import sleep_levels_of
from catalog.check import Aspect, Facts, Finding, findings
from catalog.check_facts import facts_of
from catalog.render import Seat, launch
from catalog.spec import ModelSpec
from catalog.vllm_question import Answer, Case, Question
from proxy.adapters import nvml
from proxy.adapters.devices import open_devices
from proxy.core.devices import Device, DeviceError, DeviceKind
from proxy.daemon import DaemonError
from proxy.settings import Layout, load_settings
from proxy.verbs.catalogs import add_catalog, catalog_of, picked
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, Verbs

Estimate = Callable[[ModelSpec], int | None]
"""What a model needs on each device, in bytes; None where nothing is known of it."""

ASKED_WITHIN_S = 600.0
_CODE = Path(vllm_question.__file__).parents[1]
"""The folder from which vLLM's Python imports `catalog`."""


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Hold the catalog against reality: its flags, models, files, this machine's GPUs; exits with 1 on a fault."
    sub = verbs.add("check", check, what)
    sub.add_argument("models", metavar="MODEL", nargs="*", help="only these; all of the catalog if none is given")
    add_catalog(sub)
    sub.add_argument("--quick", action="store_true", help="without asking vLLM, which takes some ten seconds")
    sub.add_argument("--hashes", action="store_true", help="compare the hashes of large files too: reads all of them")
    sub.add_argument("--json", action="store_true", help="for programs")


def check(here: Layout, arguments: argparse.Namespace, estimated_need_bytes: Estimate = lambda _: None) -> int:
    """Returns the exit status."""
    specs = picked(here, catalog_of(here, arguments.catalog), arguments.models)
    facts = {spec.name: facts_of(spec, here.root, with_hashes=arguments.hashes) for spec in specs}
    found = [one for spec in specs for one in findings(spec, facts[spec.name], estimated_need_bytes(spec))]
    asked: list[str] = []
    if not arguments.quick:
        told, asked = _of_vllm(here, specs, facts)
        known = {(one.model, one.aspect) for one in found}
        found += [one for one in told if (one.model, one.aspect) not in known]
    order = [spec.name for spec in specs]
    found.sort(key=lambda one: (order.index(one.model), not one.is_fault))
    faults = sum(one.is_fault for one in found)
    if arguments.json:
        print(json.dumps(_as_json(specs, facts, found, asked), indent=2))
    else:
        _print(found, facts.values(), arguments, asked)
        print(f"checked {_count(len(specs), 'model')}: {_count(faults, 'fault')}")
    return EXIT_FAILED if faults else EXIT_DONE


def _of_vllm(here: Layout, specs: list[ModelSpec], facts: dict[str, Facts]) -> tuple[list[Finding], list[str]]:
    """What vLLM finds, and which was asked; each environment that has one is asked once. Raises: DaemonError."""
    ours = here.root / load_settings(here.root, os.environ).vllm
    devices, capabilities = _devices()
    found, asked, cases = [], [], dict[Path, list[Case]]()
    for spec in specs:
        executable = Path(spec.vllm) if spec.vllm else ours
        try:
            case = _case(spec, facts[spec.name], str(executable), devices, capabilities)
        except ValueError as error:
            what = str(error).removeprefix(f"{spec.name}: ")
            found.append(Finding(spec.name, Aspect.MEMORY, what))
        else:
            cases.setdefault(executable.parent / "python", []).append(case)
    for python, its in cases.items():
        if not python.exists():
            asked.append(f"{python} is not there: vLLM was not asked about {', '.join(case.model for case in its)}")
            continue
        answer = _ask(python, Question(cases=its))
        asked.append(f"vLLM {answer.vllm} was asked")
        found += [Finding(one.model, one.aspect, one.what, one.remedy) for one in answer.faults]
    return found, asked


def _case(
    spec: ModelSpec,
    facts: Facts,
    executable: str,
    devices: tuple[Device, ...],
    capabilities: dict[str, tuple[int, int]],
) -> Case:
    """The command line that the gate would give. Raises: ValueError where there can be none."""
    gpus = [one for one in devices if one.kind is not DeviceKind.CPU]
    allowed = [one for one in gpus if {one.id, one.name} & set(spec.devices)] or gpus
    seat = Seat(
        awake_bytes=spec.memory_bytes,
        kv_cache_bytes=spec.kv_cache_bytes,
        total_bytes=min((one.total_bytes for one in allowed), default=None),
        can_sleep=bool(sleep_levels_of(spec, bool(allowed))),
    )
    known = [capabilities[one.id] for one in allowed if one.id in capabilities]
    return Case(
        model=spec.name,
        argv=launch(spec, executable, seat).argv[1:],
        env=spec.env,
        config=None if facts.config is None else dict(facts.config),
        embedder=spec.embedder,
        capability=min(known, default=None),
    )


def _devices() -> tuple[tuple[Device, ...], dict[str, tuple[int, int]]]:
    """This machine's devices, and the compute capability of those of NVIDIA. Raises: DaemonError."""
    try:
        devices = open_devices(limit_bytes=None, reserve_bytes=0, budget_bytes=None).devices
        is_nvidia = any(one.kind in (DeviceKind.NVIDIA, DeviceKind.MIG) for one in devices)
        return devices, nvml.compute_capabilities() if is_nvidia else {}
    except DeviceError as error:
        raise DaemonError(f"the GPUs cannot be read: {error}; --quick does without") from error


def _ask(python: Path, question: Question) -> Answer:
    """Raises: DaemonError."""
    argv, text = [str(python), "-m", "catalog.vllm_check"], msgspec.json.encode(question)
    try:
        done = subprocess.run(argv, input=text, capture_output=True, cwd=_CODE, check=False, timeout=ASKED_WITHIN_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DaemonError(f"vLLM cannot be asked: {error}; --quick does without") from error
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise DaemonError(f"vLLM cannot be asked ({python} ended with {done.returncode}): {last}; --quick does without")
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


def _as_json(specs: list[ModelSpec], facts: dict[str, Facts], found: list[Finding], asked: list[str]) -> dict[str, Any]:
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
    return {"models": models, "vllm": asked, "checked": len(specs), "faults": sum(one.is_fault for one in found)}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
