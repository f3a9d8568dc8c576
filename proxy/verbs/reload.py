"""The verb that has a changed catalog count without a restart."""

import argparse
import json

from proxy import daemon
from proxy.reload_text import reload_lines
from proxy.settings import Layout
from proxy.verbs.verbs import EXIT_DONE, Verbs, answer


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Read the catalog again: only models that changed are touched; a wrong catalog changes nothing."
    sub = verbs.add("reload", reload, what)
    sub.add_argument("-n", "--dry-run", action="store_true", help="only show what would change, and whether it fits")
    force = "do it even where an engine that serves would go for an entry that could not run"
    sub.add_argument("--force", action="store_true", help=force)
    sub.add_argument("--json", action="store_true", help="as the proxy says it")


def reload(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status. Raises: DaemonError, with file, line and key of what is wrong."""
    with daemon.client(here) as proxy:
        told = answer(proxy.post("/reload", params={"dry_run": int(arguments.dry_run), "force": int(arguments.force)}))
    for line in [json.dumps(told, indent=2)] if arguments.json else reload_lines(told):
        print(line)
    return EXIT_DONE
