"""`python -m proxy`: puts the parts together and runs them until told to stop.

Exit statuses: 0 told to stop; 1 another proxy runs here; 2 the settings or the catalog are wrong, an address is
taken, or supervisord does not answer; a bug ends in a traceback, and supervisord starts the next proxy, which adopts
the engines.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TextIO

from catalog.load import load
from catalog.spec import Catalog
from catalog.yaml_file import CatalogError
from proxy.adapters.engine import EngineApi
from proxy.adapters.gpu import DeviceError, open_device
from proxy.adapters.launcher import Launcher
from proxy.adapters.supervisord import Supervisord, SupervisorError
from proxy.core.limits import Limits
from proxy.core.roster import EngineNeeds
from proxy.core.routing import Router
from proxy.core.scheduler import Scheduler
from proxy.fleet import Fleet
from proxy.lifecycle import Lifecycle
from proxy.settings import Layout, Settings, layout, load_settings
from proxy.web import app as web_app
from proxy.web.admin import Admin
from proxy.web.forward import Forwarder, engine_session
from proxy.web.gate import Gate

log = logging.getLogger("proxy")

EXIT_ALREADY_RUNS = 1
EXIT_CONFIGURATION = 2


class AlreadyRuns(Exception):
    """Another proxy holds the lock."""


def main() -> int:
    """Run the proxy. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    here = layout()
    try:
        settings = load_settings(here.root, os.environ)
        catalog = load(here.root / settings.catalog, here.root)
        lock = _lock(here.lock)
        asyncio.run(_serve(here, settings, catalog))
    except AlreadyRuns as error:
        print(f"proxy: {error}", file=sys.stderr)
        return EXIT_ALREADY_RUNS
    except (CatalogError, DeviceError, SupervisorError, web_app.ListenError) as error:
        print(f"proxy: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    lock.close()
    return 0


def _lock(path: Path) -> TextIO:
    """Hold the lock of this project folder for as long as the returned file is open. Raises: AlreadyRuns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise AlreadyRuns(
            f"another proxy, pid {file.read().strip()}, runs in {path.parents[2]}; see `make status`"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


async def _serve(here: Layout, settings: Settings, catalog: Catalog) -> None:
    """Raises: ListenError, DeviceError, SupervisorError."""
    device = open_device(
        limit_bytes=settings.device_memory_bytes,
        reserve_bytes=settings.device_reserve_bytes,
        budget_bytes=catalog.agents.memory_budget_bytes,
    )
    needs = {
        spec.name: EngineNeeds(memory_bytes=int(spec.memory_bytes), start_timeout_s=spec.start_timeout_s)
        for spec in catalog.models.values()
    }
    limits = Limits(max_wait_s=settings.max_wait_s, cool_down_s=settings.cool_down_s)
    scheduler = Scheduler(device.capacity_bytes, needs, limits, now=asyncio.get_running_loop().time())
    router = Router(catalog)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(engine_session())
        probe = EngineApi()
        stack.push_async_callback(probe.close)
        lifecycle = Lifecycle(
            catalog=catalog,
            supervisor=Supervisord(here.supervisord_socket),
            probe=probe,
            launches=Launcher(here.root / settings.vllm, device),
            device=device,
            gate_socket=here.gate_socket,
            log_of=here.log_of,
        )
        fleet = Fleet(
            catalog=catalog, scheduler=scheduler, lifecycle=lifecycle, poll_interval_s=settings.poll_interval_s
        )
        host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
        url = f"http://{host}:{settings.listen_port}"
        admin = Admin(
            fleet=fleet, device_id=device.id, device_kind=device.kind, catalog=catalog, router=router, url=url
        )
        public = web_app.runner(
            web_app.public_app(Forwarder(fleet, router, session), admin, settings.max_body_mib * 2**20)
        )
        private = web_app.runner(web_app.private_app(Gate(fleet, router), admin))
        for runner in (public, private):
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
        await fleet.adopt()
        await web_app.listen_unix(private, here.gate_socket)
        await web_app.listen_tcp(public, settings.listen_host, settings.listen_port)
        stack.callback(fleet.close)
        log.info("serving %s from %s on %r", url, catalog.folder, device)
        await _until_told(fleet)
        log.info("going away; the engines go on")


async def _until_told(fleet: Fleet) -> None:
    """Run the fleet until SIGTERM or SIGINT. Raises: what the fleet raises."""
    running = asyncio.ensure_future(fleet.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    sys.exit(main())
