"""The verbs that ask the running proxy about its engines, or for something to be done to one."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NoReturn

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from proxy import daemon
from proxy.core.phases import bar
from proxy.plan_text import why_lines
from proxy.settings import Layout
from proxy.status_text import status_lines
from proxy.verbs.verbs import EXIT_DONE, Verbs, answer, ask

STOPPED_WITHIN_S = 900.0
WATCH_EVERY_S = 1.0
COLOURS = {
    "green": ("ready",),
    "yellow": ("starting", "waking", "draining", "falling_asleep", "stopping"),
    "blue": ("asleep", "parked"),
    "red": ("failed",),
}


def add_to(verbs: Verbs) -> None:
    """Add them."""
    sub = verbs.add("status", status, "Show the devices, the engines and who waits.")
    sub.add_argument("-m", "--memory", action="store_true", help="what each takes: declared, learned, present")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="as /status says it")
    how.add_argument("-w", "--watch", action="store_true", help="look again every second, until interrupted")
    verbs.takes_model(verbs.add("start", start, "Start a model's engine and wait until it is ready."))
    sub = verbs.add("stop", stop, "Drain a model's engine, stop it and wait for that.")
    verbs.takes_model(sub)
    sub.add_argument("-f", "--force", action="store_true", help="do not drain it: what it is answering breaks off")
    verbs.takes_model(verbs.add("pin", pin, "Have a model's engine make room for nobody, until it is unpinned."))
    what = "Have a model's engine make room for others, whatever the catalog says."
    verbs.takes_model(verbs.add("unpin", unpin, what))
    what = "Drain a model's engine, put it to sleep and wait for that; the next request wakes it."
    sub = verbs.add("sleep", sleep, what)
    verbs.takes_model(sub)
    sub.add_argument(
        "-l", "--level", type=int, choices=(1, 2), default=1, help="1 keeps the weights in host memory (1)"
    )
    sub = verbs.add("why", why, "Show why an engine is where it is, and what was decided about it of late.")
    verbs.takes_model(sub)
    sub.add_argument("--json", action="store_true", help="as /status?explain=MODEL says it")
    sub.add_argument("--start", action="store_true", help="where the time of its last start went, as a bar")


def status(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status, like all of them."""
    if arguments.watch:
        _watch(here, with_memory=arguments.memory)
    told = ask(here, "/status")
    print(json.dumps(told) if arguments.json else "\n".join(status_lines(told, with_memory=arguments.memory)))
    return EXIT_DONE


def why(here: Layout, arguments: argparse.Namespace) -> int:
    """The last decisions about one engine."""
    told = ask(here, "/status", explain=arguments.model)
    if arguments.start and not arguments.json:
        print("\n".join(bar(told["last_start"])) or f"{arguments.model}: no start of it was seen yet")
        return EXIT_DONE
    print(json.dumps(told) if arguments.json else "\n".join(why_lines(told)))
    return EXIT_DONE


def start(here: Layout, arguments: argparse.Namespace) -> int:
    """Start or wake."""
    print(f"{arguments.model}: ready after {start_s(here, arguments.model):.1f} s")
    return EXIT_DONE


def start_s(here: Layout, model: str) -> float:
    """Have `model` start, and wait until it is ready: how long that took, in s. Raises: DaemonError."""
    began_at = time.monotonic()
    with daemon.client(here) as proxy:
        answer(proxy.post(f"/engines/{model}/start"))
    return time.monotonic() - began_at


def stop(here: Layout, arguments: argparse.Namespace) -> int:
    """Drain, then stop; with --force stop at once."""
    verb = "stop?force=1" if arguments.force else "stop"
    return _send_down(here, arguments.model, verb, ("draining", "falling_asleep", "asleep", "waking", "stopping"))


def sleep(here: Layout, arguments: argparse.Namespace) -> int:
    """Drain, then sleep."""
    return _send_down(here, arguments.model, f"sleep?level={arguments.level}", ("draining", "falling_asleep"))


def pin(here: Layout, arguments: argparse.Namespace) -> int:
    """Until it is unpinned, or pinned otherwise in the catalog."""
    return _set_pin(here, arguments.model, "pin")


def unpin(here: Layout, arguments: argparse.Namespace) -> int:
    """The other way."""
    return _set_pin(here, arguments.model, "unpin")


def _set_pin(here: Layout, model: str, verb: str) -> int:
    with daemon.client(here) as proxy:
        is_pinned = answer(proxy.post(f"/engines/{model}/{verb}"))["is_pinned"]
    print(f"{model}: {'pinned, it makes room for nobody' if is_pinned else 'not pinned, it makes room for others'}")
    return EXIT_DONE


def _watch(here: Layout, *, with_memory: bool) -> NoReturn:
    """Show the status anew every second: on a terminal in its place, else one behind the other."""
    is_terminal = sys.stdout.isatty()  # whatever FORCE_COLOR says: into a file go lines
    console = Console(highlight=False, soft_wrap=not is_terminal, force_terminal=is_terminal)
    with Live(console=console, auto_refresh=False, screen=True) if console.is_terminal else nullcontext() as live:
        while True:
            text = "\n".join(_now(here, with_memory=with_memory))
            if live is None:
                print(text, end="\n\n", flush=True)
            else:
                live.update(_coloured(text), refresh=True)
            time.sleep(WATCH_EVERY_S)


def _coloured(text: str) -> Text:
    """Each state in a colour of its own, on one screen."""
    told = Text(text, no_wrap=True, overflow="ellipsis")
    for colour, states in COLOURS.items():
        told.highlight_regex(rf"(?m)^\S+ +(?P<{colour}>{'|'.join(states)})\b")
    told.highlight_regex(r"(?m)^    (?P<red>failed|warning|crashed)\b")
    return told


def _now(here: Layout, *, with_memory: bool) -> Iterator[str]:
    """The status, or why there is none; it may come back."""
    try:
        yield from status_lines(ask(here, "/status"), with_memory=with_memory)
    except (httpx.HTTPError, daemon.DaemonError) as error:
        yield f"the proxy does not answer ({error}): {asyncio.run(daemon.why_silent(here))}"


def _send_down(here: Layout, model: str, verb: str, on_the_way: tuple[str, ...]) -> int:
    """Ask for it, wait while the engine is in one of the states `on_the_way`, and print where it ended."""
    deadline = time.monotonic() + STOPPED_WITHIN_S
    with daemon.client(here) as proxy:
        state = answer(proxy.post(f"/engines/{model}/{verb}"))["state"]
        while state in on_the_way:
            if time.monotonic() > deadline:
                raise daemon.DaemonError(f"{model} is still {state}")
            time.sleep(daemon.POLL_S)
            models = answer(proxy.get("/models"))["data"]
            state = next((one["state"] for one in models if one["id"] == model), "stopped")
    print(f"{model}: {state}")
    return EXIT_DONE
