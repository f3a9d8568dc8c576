"""The verb `plan`: of the running proxy, whether models fit beside what runs; of hardware, what a catalog needs.

The first needs the service and the second does not: it reads configs and headers, and nothing is started or fetched.
"""

import argparse
import json
import os
from collections.abc import Sequence
from contextlib import suppress

from catalog.hardware.places import Place, named_places
from catalog.hardware.plan import as_json, plan_of
from catalog.spec import Catalog, ModelSpec
from catalog.suggest import nearest
from catalog.yaml_file import CatalogError
from proxy.daemon import DaemonError
from proxy.hardware_text import hardware_lines
from proxy.plan_text import plan_lines
from proxy.settings import Layout, Settings, load_settings
from proxy.verbs.catalogs import PRODUCTION, add_catalog, catalog_of, in_words, is_catalog_set, picked
from proxy.verbs.hardware import candidate_of, places_here
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, Verbs, ask

_WHAT = """\
With MODEL alone: ask the running proxy whether these models fit beside what runs, where, who would leave, how long;
nothing is done. Without MODEL, or with --gpu: the hardware plan, which needs no service: what each model of the catalog
needs, at what context it fits, which fit at once, what cannot run and the nearest thing that can. Exit status: 0 where
every model fits, or another answers for it; 1 where one does not and none does; 2 for wrong arguments."""


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Show what of a catalog runs on which hardware; with MODEL, whether these fit beside what runs."
    sub = verbs.add("plan", plan, what)
    sub.description = _WHAT
    names = ", ".join(verbs.models)
    here_are = f"one of {names}, or" if names else "a model of the catalog, or one"
    what = f"{here_are} of {PRODUCTION}; an alias and an agent type stand for their model"
    sub.add_argument("models", metavar="MODEL", nargs="*", help=what)
    what = 'a GPU to plan for, by what it is sold as: "RTX 3090:24", "2x RTX 3090:24"; may be given several times'
    sub.add_argument("--gpu", metavar="NAME:GIB", action="append", default=[], help=what)
    sub.add_argument("--explain", action="store_true", help="each part of an estimate, its formula and its source")
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_catalog(sub)
    sub.set_defaults(parser=sub, known=verbs.models)


def plan(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status."""
    is_of_hardware = arguments.gpu or arguments.explain or arguments.catalog or not arguments.models
    return _of_hardware(here, arguments) if is_of_hardware else _of_proxy(here, arguments)


def _of_proxy(here: Layout, arguments: argparse.Namespace) -> int:
    """What it would take to have these up."""
    with suppress(CatalogError):  # the running proxy has its own
        arguments.models = _meant(arguments.models, [catalog_of(here)])
    if not set(arguments.models) & set(arguments.known) and set(arguments.models) <= _in_production(here):
        return _of_hardware(here, arguments)  # of models that the proxy does not have
    for name in arguments.models:
        if name not in arguments.known:
            known = ", ".join(map(repr, arguments.known)) or "nothing: there is no catalog"
            what = f"argument MODEL: there is no '{name}'.{nearest(name, arguments.known)} (choose from {known})"
            arguments.parser.error(what)
    told = ask(here, "/plan", model=arguments.models)
    for line in [json.dumps(told, indent=2)] if arguments.json else plan_lines(told):
        print(line)
    return EXIT_DONE if told["fits"] else EXIT_FAILED


def _of_hardware(here: Layout, arguments: argparse.Namespace) -> int:
    """What the hardware that is here, or that is named, can run. Raises: DaemonError, CatalogError."""
    settings = load_settings(here.root, os.environ)
    # Somebody who names a GPU asks about the models that need one, and not about the demo's.
    is_production = arguments.gpu and arguments.catalog is None and not is_catalog_set(here)
    catalog = catalog_of(here, PRODUCTION if is_production else arguments.catalog)
    catalogs = [catalog]
    if any(name not in catalog.models for name in arguments.models) and (here.root / PRODUCTION).is_dir():
        catalogs.append(catalog_of(here, PRODUCTION))
    try:
        specs = picked(here, catalog, _meant(arguments.models, catalogs))
    except DaemonError as error:
        arguments.parser.error(f"argument MODEL: {error}")
    places = _places(settings, catalog, arguments)
    candidates = [candidate_of(here, spec, catalog) for spec in _with_stand_ins(catalog, specs)]
    shown = {spec.name for spec in specs}
    told = plan_of(candidates, places, catalog.agents.agent_types, int(settings.device_reserve_bytes), shown)
    answer = {"catalog": in_words(here, catalog.folder), **as_json(told)}
    lines = [f"catalog {answer['catalog']}", *hardware_lines(answer, explain=arguments.explain)]
    for line in [json.dumps(answer, indent=2)] if arguments.json else lines:
        print(line)
    return EXIT_DONE if told.is_served else EXIT_FAILED


def _in_production(here: Layout) -> set[str]:
    """The models of the production catalog."""
    with suppress(CatalogError):
        return set(catalog_of(here, PRODUCTION).models)
    return set()


def _meant(names: list[str], catalogs: Sequence[Catalog]) -> list[str]:
    """`names` with the model of each agent type and alias in its place; what is neither stays as it is."""
    meant: dict[str, str] = {}
    for catalog in reversed(catalogs):
        meant |= {agent_type: route.model for agent_type, route in catalog.agents.agent_types.items()}
        meant |= {alias: spec.name for spec in catalog.models.values() for alias in spec.aliases}
        meant |= {name: name for name in catalog.models}
    return [meant.get(name, name) for name in names]


def _places(settings: Settings, catalog: Catalog, arguments: argparse.Namespace) -> tuple[Place, ...]:
    """Raises: DaemonError."""
    budget = catalog.agents.memory_budget_bytes
    reserve_bytes, budget_bytes = int(settings.device_reserve_bytes), None if budget is None else int(budget)
    if arguments.gpu:
        try:
            return named_places(arguments.gpu, reserve_bytes, budget_bytes)
        except ValueError as error:
            arguments.parser.error(f"argument --gpu: {error}")
    return places_here(settings, catalog)


def _with_stand_ins(catalog: Catalog, specs: list[ModelSpec]) -> list[ModelSpec]:
    """`specs`, and the models that may answer in their place."""
    named = {spec.name: spec for spec in specs}
    for route in catalog.agents.agent_types.values():
        if route.model in named and route.fallback in catalog.models and route.fallback not in named:
            named[route.fallback] = catalog.models[route.fallback]
    return list(named.values())
