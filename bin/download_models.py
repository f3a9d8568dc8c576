#!/usr/bin/env python3
"""Fetch the weights of models, as `bin/manage_vllm.sh download` does: MODEL..., or `--all` for the whole catalog."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"


def main() -> int:
    """Returns the exit status."""
    from catalog.yaml_file import CatalogError
    from proxy import daemon, owner
    from proxy.settings import layout
    from proxy.verbs.download import WHAT, add_arguments, download

    parser = argparse.ArgumentParser(description=WHAT)
    add_arguments(parser)
    arguments, here = parser.parse_args(), layout()
    owner.become(here.root / "var")
    try:
        return download(here, arguments)
    except (daemon.DaemonError, CatalogError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    if (
        Path(sys.prefix).resolve() != (ROOT / ".venv").resolve()
    ):  # called by hand: with the project's own Python, not the machine's
        if not PYTHON.exists():
            sys.exit(f"{PYTHON} is not there: run 'make setup' first, or 'make install' of an installation")
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606  # that is the point
    sys.exit(main())
