"""The verb that shows what happens: each start, stop, sleep and refusal, and why, as it happens."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx

from proxy import daemon
from proxy.events_text import line_of
from proxy.settings import Layout
from proxy.verbs.verbs import EXIT_DONE, EXIT_NOT_RUNNING, Verbs, answer

BACK_WITHIN_S = 30.0
"""A restart of the proxy takes a few."""


def add_to(verbs: Verbs) -> None:
    """Add it."""
    sub = verbs.add("events", events, "Show what has happened of late: starts, stops, refusals, and why.")
    sub.add_argument("-f", "--follow", action="store_true", help="go on as more happens, until interrupted")
    sub.add_argument("-n", "--last", metavar="N", type=int, default=50, help="begin with so many that have been (50)")
    sub.add_argument("--json", action="store_true", help="one JSON object a line")


def events(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status; 3 where it was followed and the proxy has gone for good."""
    with daemon.client(here) as proxy:
        names = {device["id"]: device["name"] for device in answer(proxy.get("/status"))["devices"]}
        told = answer(proxy.get("/events/kept"))

    def show(event: dict[str, Any] | None) -> None:
        if arguments.json:
            print(json.dumps({"kind": "missed"} if event is None else event), flush=True)
        elif event is None:
            print("some events were missed", file=sys.stderr, flush=True)
        else:
            print(line_of(event, names), flush=True)

    for event in told["events"][-arguments.last :] if arguments.last else ():
        show(event)
    if not arguments.follow:
        return EXIT_DONE
    _follow(here, f"{told['life']}-{told['events'][-1]['n'] if told['events'] else 0}", show)
    return EXIT_NOT_RUNNING


def _follow(here: Layout, last_id: str, show: Callable[[dict[str, Any] | None], None]) -> None:
    """Show what happens behind the event `last_id`, also by the next proxy, until there is none.

    None is shown where some were missed; that the next proxy does not know those of the last one goes without saying.
    """
    gone_at: float | None = None
    while gone_at is None or time.monotonic() - gone_at < BACK_WITHIN_S:
        with suppress(httpx.TransportError), daemon.client(here) as proxy:
            headers = {"Last-Event-ID": last_id}
            with proxy.stream("GET", "/events", headers=headers, timeout=None) as got:
                is_next, gone_at = gone_at is not None, None
                for number, event in _of(got):
                    last_id = number or last_id
                    if event is not None or not is_next:
                        show(event)
                    is_next = False
        if gone_at is None:
            gone_at = time.monotonic()
            print("the proxy has gone; waiting for the next one", file=sys.stderr, flush=True)
        time.sleep(daemon.POLL_S)


def _of(got: httpx.Response) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The events of a stream with their ids, but for what is said to keep it alive; None where some were missed."""
    last_id = kind = ""
    for line in got.iter_lines():
        if line.startswith("id: "):
            last_id = line[4:]
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield last_id, None if kind == "missed" else json.loads(line[6:])
