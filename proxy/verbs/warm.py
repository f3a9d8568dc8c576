"""The verb that starts models ahead of their first requests, so that what vLLM compiles is there when they come."""

import argparse
import sys

from proxy import daemon
from proxy.core.phases import bar
from proxy.settings import Layout
from proxy.verbs.engines import start_s
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Verbs, ask


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Start models one after the other, so that a later start finds compiled what vLLM compiles at first."
    sub = verbs.add("warm", warm, what)
    verbs.takes_model(sub, nargs="*")
    sub.add_argument("-a", "--all", action="store_true", help="all of the catalog, those that answer for most last")


def warm(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status: 1 where one could not be started; the others are started all the same."""
    if bool(arguments.models) is arguments.all:
        print("name the models, or say --all", file=sys.stderr)
        return EXIT_USAGE
    engines = ask(here, "/status")["engines"]
    ordered = [one["model"] for one in sorted(engines, key=lambda one: len(one["agent_types"]))]
    models = ordered if arguments.all else arguments.models
    failed = 0
    for number, model in enumerate(models, 1):
        print(f"{model} ({number} of {len(models)}): starting", flush=True)
        try:
            took_s = start_s(here, model)
        except daemon.DaemonError as error:
            failed += 1
            print(f"{model} ({number} of {len(models)}): {error}", flush=True)
            continue
        print(f"{model} ({number} of {len(models)}): ready after {took_s:.1f} s", flush=True)
        print("".join(f"    {line}\n" for line in bar(ask(here, "/status", explain=model)["last_start"])), end="")
    return EXIT_FAILED if failed else EXIT_DONE
