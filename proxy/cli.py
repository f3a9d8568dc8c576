"""The command line behind `bin/manage_vllm.sh`. Thin: it asks the proxy or supervisord, and prints.

Exit statuses: 0 done; 1 it did not work, and why is on standard error; 2 wrong arguments; 3 the service is not running;
as of a shell 130 interrupted, 141 nobody reads what it prints any more.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from catalog import render
from catalog.load import load
from catalog.spec import Catalog
from catalog.suggest import nearest
from catalog.yaml_file import CatalogError
from proxy import daemon
from proxy.plan_text import plan_lines, why_lines
from proxy.settings import Layout, check_port, layout, load_settings
from proxy.status_text import status_lines

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
STOPPED_WITHIN_S = 900.0


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status."""
    here = layout()
    arguments = _parser(here).parse_args(argv)
    verb: Callable[[Layout, argparse.Namespace], int] = arguments.verb
    try:
        status = verb(here, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # `status | head -1`. What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (daemon.DaemonError, CatalogError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except httpx.TimeoutException as error:
        print(f"the proxy has not answered in {daemon.CALL_TIMEOUT_S:.0f} s: {error}", file=sys.stderr)
        return EXIT_FAILED
    except httpx.TransportError as error:
        remedy = asyncio.run(daemon.why_silent(here))
        print(f"the proxy does not answer at {here.gate_socket} ({error}): {remedy}", file=sys.stderr)
        return EXIT_NOT_RUNNING
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _parser(here: Layout) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage_vllm.sh", description="Looks after Rota: models, engines, service.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name: str, verb: Callable[[Layout, argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=what, description=what)
        sub.set_defaults(verb=verb)
        return sub

    models = _models(here)

    def takes(sub: argparse.ArgumentParser, name: str, names: list[str]) -> None:
        sub.add_argument(name, metavar="MODEL", type=_one_of(names), help=f"one of {', '.join(names)}")

    status = add("status", _status, "Show the devices, the engines and who waits.")
    status.add_argument("-m", "--memory", action="store_true", help="what each takes: declared, learned, present")
    takes(add("start", _start, "Start a model's engine and wait until it is ready."), "model", models)
    takes(add("stop", _stop, "Drain a model's engine, stop it and wait for that."), "model", models)
    sleep = add(
        "sleep", _sleep, "Drain a model's engine, put it to sleep and wait for that; the next request wakes it."
    )
    takes(sleep, "model", models)
    sleep.add_argument(
        "-l", "--level", type=int, choices=(1, 2), default=1, help="1 keeps the weights in host memory (1)"
    )
    takes(
        add("why", _why, "Show why an engine is where it is, and what was decided about it of late."), "model", models
    )
    plan = add("plan", _plan, "Show whether models fit together, where, who would leave, how long; nothing is done.")
    plan.add_argument("models", metavar="MODEL", nargs="+", choices=models)
    log = add("logs", _logs, "Show the end of a program's log.")
    takes(log, "program", [*models, "proxy", "supervisord"])
    log.add_argument("-n", "--lines", type=int, default=50, help="how many lines (50)")
    log.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    add("start-service", _start_service, "Start supervisord and the proxy, and wait until it is healthy.")
    add("stop-service", _stop_service, "Stop the proxy, all engines and supervisord.")
    add("restart-service", _restart_service, "stop-service, then start-service.")
    add("install-vllm", _install_vllm, "Install vLLM for this machine into .venv-vllm.")
    add("render", _render, "Write supervisord's program files and the catalog's JSON Schemas.")
    return parser


def _one_of(names: list[str]) -> Callable[[str], str]:
    """What takes an argument that must be one of `names`, and suggests the nearest where it is not."""

    def take(name: str) -> str:
        if name not in names:
            known = ", ".join(map(repr, names)) or "nothing: there is no catalog"
            raise argparse.ArgumentTypeError(f"there is no '{name}'.{nearest(name, names)} (choose from {known})")
        return name

    return take


def _models(here: Layout) -> list[str]:
    """The models there are programs for; before the first start those of the catalog, if it can be read."""
    if names := daemon.program_names(here):
        return names
    with suppress(CatalogError):
        return list(_catalog(here).models)
    return []


def _catalog(here: Layout) -> Catalog:
    """The catalog of the settings. Raises: CatalogError."""
    settings = load_settings(here.root, os.environ)
    catalog = load(here.root / settings.catalog, here.root)
    check_port(settings, catalog)
    return catalog


def _status(here: Layout, arguments: argparse.Namespace) -> int:
    for line in status_lines(_ask(here, "/status"), with_memory=arguments.memory):
        print(line)
    return 0


def _why(here: Layout, arguments: argparse.Namespace) -> int:
    for line in why_lines(_ask(here, "/status", explain=arguments.model)):
        print(line)
    return 0


def _plan(here: Layout, arguments: argparse.Namespace) -> int:
    plan = _ask(here, "/plan", model=arguments.models)
    for line in plan_lines(plan):
        print(line)
    return 0 if plan["fits"] else EXIT_FAILED


def _start(here: Layout, arguments: argparse.Namespace) -> int:
    began_at = time.monotonic()
    with daemon.client(here) as proxy:
        _answer(proxy.post(f"/engines/{arguments.model}/start"))
    print(f"{arguments.model}: ready after {time.monotonic() - began_at:.1f} s")
    return 0


def _stop(here: Layout, arguments: argparse.Namespace) -> int:
    return _send_down(here, arguments.model, "stop", ("draining", "falling_asleep", "asleep", "waking", "stopping"))


def _sleep(here: Layout, arguments: argparse.Namespace) -> int:
    return _send_down(here, arguments.model, f"sleep?level={arguments.level}", ("draining", "falling_asleep"))


def _send_down(here: Layout, model: str, verb: str, on_the_way: tuple[str, ...]) -> int:
    """Ask for it, wait while the engine is in one of the states `on_the_way`, and print where it ended."""
    deadline = time.monotonic() + STOPPED_WITHIN_S
    with daemon.client(here) as proxy:
        state = _answer(proxy.post(f"/engines/{model}/{verb}"))["state"]
        while state in on_the_way:
            if time.monotonic() > deadline:
                raise daemon.DaemonError(f"{model} is still {state}")
            time.sleep(daemon.POLL_S)
            models = _answer(proxy.get("/models"))["data"]
            state = next(one["state"] for one in models if one["id"] == model)
    print(f"{model}: {state}")
    return 0


def _logs(here: Layout, arguments: argparse.Namespace) -> int:
    path = here.log_of(arguments.program)
    if not path.exists():
        raise daemon.DaemonError(f"{path} is not there: {arguments.program} has not run yet")
    tail = ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), str(path)]
    return subprocess.run(tail, check=False).returncode  # noqa: S603  # no shell; the path is ours


def _start_service(here: Layout, _: argparse.Namespace) -> int:
    asyncio.run(daemon.start(here, load_settings(here.root, os.environ), _catalog(here), print))
    with daemon.client(here) as proxy:
        status = _answer(proxy.get("/status"))
    print(f"the proxy is healthy: {status['proxy']['url']}")
    for warning in (warning for engine in status["engines"] for warning in engine["warnings"]):
        print("warning: " + warning.replace("\n", "; "))
    return 0


def _stop_service(here: Layout, _: argparse.Namespace) -> int:
    asyncio.run(daemon.stop(here, print))
    print("stopped")
    return 0


def _restart_service(here: Layout, arguments: argparse.Namespace) -> int:
    _catalog(here)  # a wrong catalog must not stop what runs
    return _stop_service(here, arguments) or _start_service(here, arguments)


def _install_vllm(here: Layout, _: argparse.Namespace) -> int:
    return subprocess.run([sys.executable, here.root / "bin" / "install.py", "vllm"], check=False).returncode  # noqa: S603


def _render(here: Layout, _: argparse.Namespace) -> int:
    for path in daemon.write_programs(here, _catalog(here)):
        print(path.relative_to(here.root))
    schemas = here.root / "catalog"
    for name, text in render.schemas().items():
        if (schemas / name).exists():
            (schemas / name).write_text(text)
    return 0


def _ask(here: Layout, path: str, **query: str | list[str]) -> dict[str, Any]:
    """What the proxy says at `path`. Raises: DaemonError."""
    with daemon.client(here) as proxy:
        return _answer(proxy.get(path, params=query))


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON. Raises: DaemonError, with the proxy's own message, if it is an error."""
    answer: dict[str, Any] = response.json()
    if response.is_error:
        raise daemon.DaemonError(answer["error"]["message"])
    return answer


if __name__ == "__main__":
    sys.exit(main())
