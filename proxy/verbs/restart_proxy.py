"""The verb that has the proxy's code of now count: the proxy alone is restarted, and no engine notices.

Its port is kept meanwhile, so that nobody is refused: who connects waits until the next proxy takes him. What the one
that goes has in hand it may finish, for as long as `proxy.web.app.SHUTDOWN_TIMEOUT_S`.
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import Iterator

from proxy import daemon
from proxy.adapters import logs
from proxy.adapters.handed_sockets import Keeper
from proxy.adapters.supervisord import Supervisord, SupervisorError
from proxy.settings import Layout, load_settings
from proxy.verbs.catalogs import catalog_to_start
from proxy.verbs.verbs import EXIT_DONE, Verbs

STOPPED_WITHIN_S = 30.0
"""supervisord's patience with the proxy (`supervisor.d/supervisord.conf`) is half of it."""
POLL_S = 0.1


def add_to(verbs: Verbs) -> None:
    """Add it."""
    what = "Restart the proxy alone, with the code and settings of now; engines go on, and who connects waits."
    verbs.add("restart-proxy", restart_proxy, what)


def restart_proxy(here: Layout, _: argparse.Namespace) -> int:
    """Returns the exit status. Raises: DaemonError, CatalogError; wrong settings or a wrong catalog stop nothing."""
    load_settings(here.root, os.environ)
    catalog_to_start(here)
    before = daemon.running_proxy(here)
    with _port_kept(here, is_running=before is not None):
        try:
            asyncio.run(_restart(here))
        except SupervisorError as error:
            raise daemon.DaemonError(f"{error}: {asyncio.run(daemon.why_silent(here))}") from error
    after = daemon.running_proxy(here)
    if after is None:
        raise daemon.DaemonError("the proxy was healthy, and is not any more: bin/manage_vllm.sh logs proxy")
    took_over = "" if before is None else f"; it took over from version {before.get('version', '?')}"
    print(f"the proxy is healthy: version {after['version']}, pid {after['pid']}{took_over}")
    return EXIT_DONE


@contextlib.contextmanager
def _port_kept(here: Layout, *, is_running: bool) -> Iterator[None]:
    """Keep the running proxy's listening sockets for the next; one that cannot give them is restarted all the same."""
    if not is_running:
        yield
        return
    with Keeper(here.hand_over_socket):
        with daemon.client(here) as proxy:
            response = proxy.post("/hand-over")
        if response.is_error:
            print("the proxy that runs does not hand its port over: for a moment connections will be refused")
        yield


async def _restart(here: Layout) -> None:
    """Raises: SupervisorError, DaemonError."""
    supervisord = Supervisord(here.supervisord_socket)
    await supervisord.add([])  # it reads its files again: what it cannot read must not stop what runs
    began_at = logs.size(here.log_of("proxy"))
    await supervisord.stop("proxy")
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while (await supervisord.program("proxy")).pid is not None:
        if time.monotonic() > deadline:
            raise daemon.DaemonError(f"the proxy has not ended within {STOPPED_WITHIN_S:.0f} s")
        await asyncio.sleep(POLL_S)
    await supervisord.remove("proxy")
    await supervisord.add(["proxy"])
    await supervisord.start("proxy")
    await daemon.wait_healthy(here, supervisord, began_at)
