"""Which catalog a verb is about, and which of its models: for the verbs that need no running service."""

import argparse
import os
from pathlib import Path

from catalog.load import load, survey
from catalog.spec import Catalog, ModelSpec
from catalog.suggest import nearest
from catalog.yaml_file import CatalogError
from proxy import daemon
from proxy.settings import Layout, Settings, check_port, load_settings

PRODUCTION = "catalog/models"
"""The catalog that a GPU is for; the default setting is the demo's, which runs anywhere."""


class NoSuchModel(daemon.DaemonError):
    """No catalog has a model of that name; the message names the nearest and all that there are."""


def add_catalog(sub: argparse.ArgumentParser) -> None:
    """Let `sub` take --catalog."""
    sub.add_argument("--catalog", metavar="FOLDER", help="another catalog than the settings', or the running proxy's")


def catalog_of(here: Layout, folder: str | None = None) -> Catalog:
    """The catalog in `folder`, or the one that is meant. Raises: CatalogError."""
    settings = load_settings(here.root, os.environ)
    catalog = load(here.root / (folder or meant(here, settings)), here.root)
    check_port(settings, catalog)
    return catalog


def catalog_to_start(here: Layout) -> Catalog:
    """The catalog of the settings, whatever runs. Raises: CatalogError."""
    return catalog_of(here, load_settings(here.root, os.environ).catalog)


def surveyed(here: Layout, folder: str | None = None) -> tuple[Catalog, list[CatalogError]]:
    """What of that catalog is sound, and all that is wrong with it. Raises: CatalogError where there is none."""
    settings = load_settings(here.root, os.environ)
    catalog, errors = survey(here.root / (folder or meant(here, settings)), here.root)
    try:
        check_port(settings, catalog)
    except CatalogError as error:
        errors.append(error)
    return catalog, errors


def meant(here: Layout, settings: Settings) -> str:
    """The folder that is meant where none is named: that of the settings, else that of the proxy which runs."""
    if settings.catalog != Settings().catalog:
        return settings.catalog
    running = daemon.running_proxy(here)
    return settings.catalog if running is None else str(running["catalog"])


def in_words(here: Layout, folder: Path) -> str:
    """The folder as a person would name it."""
    return str(folder.relative_to(here.root) if folder.is_relative_to(here.root) else folder)


def is_catalog_set(here: Layout) -> bool:
    """Whether the settings, or the environment, name another catalog than the demo's. Raises: CatalogError."""
    return load_settings(here.root, os.environ).catalog != Settings().catalog


def picked(here: Layout, catalog: Catalog, names: list[str]) -> list[ModelSpec]:
    """The models of `names`, all if there are none; one that `catalog` lacks is looked for in the production catalog.

    Raises: NoSuchModel for a name that neither has; CatalogError.
    """
    if not names:
        return list(catalog.models.values())
    known = dict(catalog.models)
    production = here.root / PRODUCTION
    if any(name not in known for name in names) and production.is_dir():
        known = {**load(production, here.root).models, **known}
    for name in names:
        if name not in known:
            where = " and ".join(dict.fromkeys((in_words(here, catalog.folder), PRODUCTION)))
            what = f"there is no model '{name}'.{nearest(name, list(known))} Models of {where}: {', '.join(known)}"
            raise NoSuchModel(what)
    return [known[name] for name in dict.fromkeys(names)]


def catalog_folder(here: Layout, catalog: Catalog, spec: ModelSpec) -> Path:
    """The folder of the catalog that `spec`, one of those `picked`, is from."""
    return catalog.folder if catalog.models.get(spec.name) == spec else here.root / PRODUCTION
