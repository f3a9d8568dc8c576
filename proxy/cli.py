"""The command line behind `bin/manage_vllm.sh`: finds the verb, runs it, and says what went wrong.

Exit statuses: 0 done; 1 it did not work, and why is on standard error; 2 wrong arguments; 3 the service is not running;
as of a shell 130 interrupted, 141 nobody reads what it prints any more.
"""

import asyncio
import importlib
import os
import sys

import httpx

from catalog.yaml_file import CatalogError
from proxy import daemon, owner
from proxy.adapters.audit_folder import AuditError
from proxy.adapters.key_file import KeyFileError
from proxy.core.key_acts import KeyActRefused
from proxy.settings import Layout, layout
from proxy.verbs.verbs import EXIT_BROKEN_PIPE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NOT_RUNNING, Verb, Verbs

MODULES = {
    "engines": ("status", "start", "stop", "pin", "unpin", "sleep", "why"),
    "plan": ("plan",),
    "events": ("events",),
    "service": ("logs", "start-service", "stop-service", "restart-service", "install-vllm", "render"),
    "restart_proxy": ("restart-proxy",),
    "reload": ("reload",),
    "check": ("check",),
    "download": ("download",),
    "keys": ("keys",),
    "audit": ("audit",),
    "completion": ("completion",),
    "warm": ("warm",),
}
"""Those of proxy/verbs, each with its verbs, in the order of the help."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status."""
    here = layout()
    words = sys.argv[1:] if argv is None else argv
    arguments = command_line(here, words[0] if words else None).parser.parse_args(words)
    verb: Verb = arguments.verb
    if arguments.name != "install-vllm":  # that is the project folder's
        owner.become(here.root / "var")
    try:
        status = verb(here, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # `status | head -1`. What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (daemon.DaemonError, CatalogError, AuditError, KeyFileError, KeyActRefused) as error:
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


def command_line(here: Layout, asked: str | None = None) -> Verbs:
    """All verbs; where `asked` is one of them, only those of its module: to import all takes longer than most do."""
    verbs = Verbs(here)
    for name in [name for name, of in MODULES.items() if asked in of] or MODULES:
        importlib.import_module(f"proxy.verbs.{name}").add_to(verbs)
    return verbs


if __name__ == "__main__":
    sys.exit(main())
