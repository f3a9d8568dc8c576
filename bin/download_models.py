#!/usr/bin/env python3
"""Fetch the weights of models: `bin/download_models.py MODEL...`, or `--all` for the whole catalog."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"


def main() -> int:
    """Returns the exit status."""
    from catalog.fetch import FetchError, fetch
    from catalog.load import load
    from catalog.yaml_file import CatalogError
    from proxy import daemon
    from proxy.settings import layout, load_settings

    here = layout()
    running = None if "ROTA_CATALOG" in os.environ else daemon.running_proxy(here)
    try:
        folder = running["catalog"] if running else load_settings(here.root, os.environ).catalog
        catalog = load(here.root / folder, here.root)
    except CatalogError as error:
        print(error, file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"one of {', '.join(catalog.models)}")
    parser.add_argument("--all", action="store_true", help="every model of the catalog")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.models if name not in catalog.models]:
        parser.error(f"unknown: {', '.join(unknown)} (choose from {', '.join(catalog.models)})")
    if not arguments.models and not arguments.all:
        parser.error("name models, or say --all")
    wanted = list(catalog.models) if arguments.all else arguments.models
    try:
        missing = fetch([catalog.models[name] for name in wanted], here.root, lambda text: print(text, flush=True))
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if set(missing) & set(arguments.models) else 0


if __name__ == "__main__":
    if (
        Path(sys.prefix).resolve() != (ROOT / ".venv").resolve()
    ):  # called by hand: with the project's own Python, not the machine's
        if not PYTHON.exists():
            sys.exit(f"{PYTHON} is not there: run 'make setup' first")
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606  # that is the point
    sys.exit(main())
