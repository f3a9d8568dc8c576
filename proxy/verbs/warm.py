"""The verb that starts models ahead of their first requests, so that what vLLM compiles is there when they come."""

import argparse
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

import httpx

from proxy import daemon
from proxy.core.phases import bar
from proxy.settings import Layout
from proxy.verbs.engines import start_s
from proxy.verbs.verbs import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Verbs, ask

SAYS_EVERY_S = 5.0
TRIES = 3
"""How often a model is started whose start the proxy did not answer: it may have been restarted meanwhile."""
BACK_WITHIN_S = 60.0


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Start models one after the other, so that a later start finds compiled what vLLM compiles at first."
    sub = verbs.add("warm", warm, what)
    verbs.takes_model(sub, nargs="*")
    what = "all of the catalog but those that a person stopped; those that answer for most last"
    sub.add_argument("-a", "--all", action="store_true", help=what)


def warm(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status: 1 where one could not be started; the others are started all the same."""
    if bool(arguments.models) is arguments.all:
        print("name the models, or say --all", file=sys.stderr)
        return EXIT_USAGE
    engines = ask(here, "/status")["engines"]
    stopped_by = {one["model"]: one["stopped_by"] for one in engines if arguments.all and one["stopped_by"]}
    ordered = [one["model"] for one in sorted(engines, key=lambda one: len(one["agent_types"]))]
    models = ordered if arguments.all else arguments.models
    failed = 0
    for number, model in enumerate(models, 1):
        which = f"{model} ({number} of {len(models)})"
        if model in stopped_by:
            print(f"{which}: left as it is, it was stopped {stopped_by[model]}", flush=True)
            continue
        print(f"{which}: starting", flush=True)
        try:
            print(f"{which}: ready after {_started_s(here, model):.1f} s", flush=True)
            print("".join(f"    {line}\n" for line in bar(ask(here, "/status", explain=model)["last_start"])), end="")
        except (daemon.DaemonError, httpx.HTTPError, ValueError) as error:
            failed += 1
            print(f"{which}: {error}", flush=True)
    return EXIT_FAILED if failed else EXIT_DONE


def _started_s(here: Layout, model: str) -> float:
    """Start it, with a line every few seconds, again where the proxy went away: how long it took, in s.

    Raises: DaemonError, where it did not start; HTTPError or ValueError, where the proxy has not answered as it should.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _with_progress(here, model)
        except (httpx.HTTPError, ValueError) as error:
            if not tries_left or not _is_back(here):
                raise
            print(f"    the proxy did not answer ({error!r}): once more", flush=True)
    raise AssertionError("the last try raises")


def _with_progress(here: Layout, model: str) -> float:
    began_at, starting = time.monotonic(), _in_background(here, model)
    while True:
        try:
            return starting.result(SAYS_EVERY_S)
        except TimeoutError:
            print(f"    {time.monotonic() - began_at:.0f} s: {_where_it_is(here, model)}", flush=True)


def _in_background(here: Layout, model: str) -> "Future[float]":
    """In a thread that nobody waits for where this is interrupted."""
    starting: Future[float] = Future()

    def start() -> None:
        try:
            starting.set_result(start_s(here, model))
        except Exception as error:  # it is raised where the result is asked for
            starting.set_exception(error)

    threading.Thread(target=start, daemon=True).start()
    return starting


def _where_it_is(here: Layout, model: str) -> str:
    try:
        engines: list[dict[str, Any]] = ask(here, "/status")["engines"]
    except (daemon.DaemonError, httpx.HTTPError, ValueError) as error:
        return f"the proxy does not answer ({error!r})"
    told = next((f"{one['state']}, {one['phase'] or one['why']}" for one in engines if one["model"] == model), None)
    return told or "the catalog does not have it any more"


def _is_back(here: Layout) -> bool:
    deadline = time.monotonic() + BACK_WITHIN_S
    while daemon.running_proxy(here) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(daemon.POLL_S)
    return True
