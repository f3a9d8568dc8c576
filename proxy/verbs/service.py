"""The verbs that look after the service itself: supervisord, the proxy, the environments, the logs."""

import argparse
import asyncio
import os
import subprocess
import sys

from catalog import render as rendering
from catalog.spec import Catalog
from proxy import daemon
from proxy.adapters import programs
from proxy.settings import Layout, Settings, load_settings
from proxy.status_text import fallback_lines
from proxy.verbs.catalogs import catalog_to_start
from proxy.verbs.verbs import EXIT_DONE, EXIT_SIGNALLED, Verbs, answer


def add_to(verbs: Verbs) -> None:
    """Add them."""
    sub = verbs.add("logs", logs, "Show the end of a program's log: of a model's engine, of the proxy, of supervisord.")
    verbs.takes(sub, "program", [*verbs.models, "proxy", "supervisord"])
    sub.add_argument("-n", "--lines", type=int, default=50, help="how many lines (50)")
    sub.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    sub = verbs.add("start-service", start, "Start supervisord and the proxy, and wait until it is healthy.")
    sub.add_argument("--foreground", action="store_true", help="stay, as supervisord, until told to stop")
    verbs.add("stop-service", stop, "Stop the proxy, all engines and supervisord.")
    verbs.add("restart-service", restart, "stop-service, then start-service.")
    verbs.add("install-vllm", install_vllm, "Install vLLM for this machine into .venv-vllm.")
    verbs.add("render", render, "Write supervisord's program files and the catalog's JSON Schemas.")


def logs(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status, like all of them."""
    path = here.log_of(arguments.program)
    if not path.exists():
        raise daemon.DaemonError(f"{path} is not there: {arguments.program} has not run yet")
    tail = ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), str(path)]
    status = subprocess.run(tail, check=False).returncode  # noqa: S603  # no shell; the path is ours
    return status if status >= 0 else EXIT_SIGNALLED - status


def start(here: Layout, arguments: argparse.Namespace) -> int:
    """Start what does not run."""
    settings, catalog = load_settings(here.root, os.environ), catalog_to_start(here)
    if arguments.foreground:
        daemon.run(here, settings, catalog)
    return _start(here, settings, catalog)


def _start(here: Layout, settings: Settings, catalog: Catalog) -> int:
    asyncio.run(daemon.start(here, settings, catalog, print))
    with daemon.client(here) as proxy:
        status = answer(proxy.get("/status"))
    print(f"the proxy is healthy: {status['proxy']['url']}")
    for warning in (warning for engine in status["engines"] for warning in engine["warnings"]):
        print("warning: " + warning.replace("\n", "; "))
    for line in fallback_lines(status):
        print(f"warning: {line}")
    return EXIT_DONE


def stop(here: Layout, _: argparse.Namespace) -> int:
    """End all of it."""
    daemon.check_not_of_systemd(here, "stop")
    return _stop(here)


def _stop(here: Layout) -> int:
    asyncio.run(daemon.stop(here, print))
    print("stopped")
    return EXIT_DONE


def restart(here: Layout, _: argparse.Namespace) -> int:
    """A wrong catalog must not stop what runs."""
    settings, catalog = load_settings(here.root, os.environ), catalog_to_start(here)
    daemon.check_not_of_systemd(here, "restart")
    return _stop(here) or _start(here, settings, catalog)


def install_vllm(here: Layout, _: argparse.Namespace) -> int:
    """As `make vllm`."""
    return subprocess.run([sys.executable, here.root / "bin" / "install.py", "vllm"], check=False).returncode  # noqa: S603


def render(here: Layout, _: argparse.Namespace) -> int:
    """As `make render`."""
    for path in programs.write(here.programs, catalog_to_start(here).models.values()):
        print(path.relative_to(here.root))
    schemas = here.root / "catalog"
    for name, text in rendering.schemas().items():
        if (schemas / name).exists() and (schemas / name).read_text() != text:  # an installed one may not be writable
            (schemas / name).write_text(text)
    return EXIT_DONE
