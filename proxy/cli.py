"""The command line behind `bin/manage_vllm.sh`: finds the verb, runs it, and says what went wrong.

Exit statuses: 0 done; 1 it did not work, and why is on standard error; 2 wrong arguments; 3 the service is not running;
as of a shell 130 interrupted, 141 nobody reads what it prints any more.
"""

import asyncio
import os
import sys

import httpx

from catalog.yaml_file import CatalogError
from proxy import daemon, owner
from proxy.adapters.audit_files import AuditError
from proxy.adapters.key_file import KeyFileError
from proxy.core.key_acts import KeyActRefused
from proxy.settings import Layout, layout
from proxy.verbs import (
    audit,
    check,
    completion,
    download,
    engines,
    events,
    keys,
    plan,
    reload,
    restart_proxy,
    service,
    warm,
)
from proxy.verbs.verbs import EXIT_BROKEN_PIPE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NOT_RUNNING, Verb, Verbs


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status."""
    here = layout()
    arguments = command_line(here).parser.parse_args(argv)
    verb: Verb = arguments.verb
    if verb is not service.install_vllm:  # that is the project folder's
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


def command_line(here: Layout) -> Verbs:
    """All verbs."""
    verbs = Verbs(here)
    for kind in (engines, plan, events, service, restart_proxy, reload, check, download, keys, audit, completion, warm):
        kind.add_to(verbs)
    return verbs


if __name__ == "__main__":
    sys.exit(main())
