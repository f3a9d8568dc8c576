"""The verb that shows what happens: each start, stop, sleep and refusal, and why, as it happens."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import httpx

from proxy import daemon
from proxy.events_text import line_of
from proxy.settings import Layout
from proxy.verbs.verbs import EXIT_DONE, EXIT_NOT_RUNNING, Verbs, answer


def add_to(verbs: Verbs) -> None:
    """Add it."""
    sub = verbs.add("events", events, "Show what has happened of late: starts, stops, refusals, and why.")
    sub.add_argument("-f", "--follow", action="store_true", help="go on as more happens, until interrupted")
    sub.add_argument("-n", "--last", metavar="N", type=int, default=50, help="begin with so many that have been (50)")
    sub.add_argument("--json", action="store_true", help="one JSON object a line")


def events(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status; 3 where it was followed and the proxy has gone."""
    with daemon.client(here) as proxy:
        kept = answer(proxy.get("/events/kept"))["events"]
        _print(kept[-arguments.last :] if arguments.last else [], as_json=arguments.json)
        if not arguments.follow:
            return EXIT_DONE
        after = kept[-1]["n"] if kept else 0
        with proxy.stream("GET", "/events", params={"after": after}, timeout=None) as got:
            for event in _of(got):
                _print([event], as_json=arguments.json)
    return EXIT_NOT_RUNNING


def _print(told: list[dict[str, Any]], *, as_json: bool) -> None:
    for one in told:
        print(json.dumps(one) if as_json else line_of(one), flush=True)


def _of(got: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream, but for what is said to keep it alive."""
    for line in got.iter_lines():
        if line.startswith("data: ") and (event := json.loads(line[6:])):
            yield event
