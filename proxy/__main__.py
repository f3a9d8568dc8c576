"""`python -m proxy`: puts the parts together and runs them until told to stop.

Exit statuses: 0 told to stop; 1 another proxy runs here; 2 the settings or the catalog are wrong, an address is
taken, or supervisord does not answer; 4 supervisord was killed, and another one was started; a bug ends in a
traceback, and supervisord starts the next proxy, which adopts the engines.
"""

import asyncio
import fcntl
import gc
import logging
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TextIO

import httpx
import uvloop

from catalog.spec import Catalog
from catalog.yaml_file import CatalogError
from proxy import daemon
from proxy.adapters import processes
from proxy.adapters.key_file import KeyFile, KeyFileError
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import Supervisord, SupervisorError
from proxy.assembly import assemble
from proxy.core.allowance import Used
from proxy.core.devices import DeviceError
from proxy.core.routing import Router
from proxy.fleet import Fleet
from proxy.kept_catalog import KeptCatalog
from proxy.keyring import Keyring
from proxy.reload import Reloader
from proxy.settings import Layout, Settings, check_port, layout, load_settings
from proxy.traffic import Traffic
from proxy.upstream.pool import Pool
from proxy.web import app as web_app
from proxy.web.admin import Admin
from proxy.web.forward import Forwarder
from proxy.web.gate import Gate
from proxy.web.guard import Guard
from proxy.web.keys import Keys
from proxy.web.metrics import Metrics
from proxy.web.named import Named
from proxy.web.realtime import Realtime, socket_session
from proxy.web.reloading import Reloading
from proxy.web.responses import Responses
from proxy.web.tls import Tls, TlsError

log = logging.getLogger("proxy")

EXIT_ALREADY_RUNS = 1
COLLECT_AFTER = 20_000
"""New objects, less those that have gone, after which the collector of cycles runs; Python's own is 700."""
EXIT_SUPERVISORD_GONE = 4


class SupervisordGone(Exception):
    """supervisord ended and left this proxy behind: it was killed."""


class AlreadyRuns(Exception):
    """Another proxy holds the lock."""


def main() -> int:
    """Run the proxy. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    here = layout()
    try:
        settings = load_settings(here.root, os.environ)
        kept = KeptCatalog(here.kept_catalog, here.root)
        catalog, problem = kept.load(here.root / settings.catalog, partial(check_port, settings))
        if problem is not None:
            log.warning("%s; until that is mended and reloaded, the last catalog that was sound is served", problem)
        lock = _lock(here.lock)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(here, settings, catalog, kept, problem))
    except SupervisordGone:
        # Engines that nobody can stop must not be left over: the next proxy, under a new supervisord, ends them.
        lock.close()
        asyncio.run(daemon.revive(here))
        return EXIT_SUPERVISORD_GONE
    except AlreadyRuns as error:
        print(f"proxy: {error}", file=sys.stderr)
        return EXIT_ALREADY_RUNS
    except (CatalogError, DeviceError, SupervisorError, KeyFileError, TlsError, web_app.ListenError) as error:
        print(f"proxy: {error}", file=sys.stderr)
        return daemon.EXIT_CONFIGURATION
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


async def _serve(here: Layout, settings: Settings, catalog: Catalog, kept: KeptCatalog, problem: str | None) -> None:
    """Raises: ListenError, DeviceError, SupervisorError, KeyFileError, TlsError, SupervisordGone."""
    router = Router(catalog)
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    tls = _tls(here, settings)
    url = f"{'http' if tls is None else 'https'}://{host}:{settings.listen_port}"
    async with AsyncExitStack() as stack:
        keyring = Keyring(KeyFile(here.keys), StateFile(here.state / "used_today.json", dict[str, Used], {}))
        stack.callback(keyring.keep_now)
        stack.callback(asyncio.create_task(keyring.keep()).cancel)
        guard = Guard(keyring)
        _check_open(keyring, settings)
        pool = Pool()
        stack.callback(pool.close)
        parts = await assemble(here, settings, catalog, stack)
        fleet = parts.fleet
        reloader = Reloader(here=here, settings=settings, parts=parts, router=router, kept=kept, problem=problem)
        admin = Admin(parts=parts, router=router, url=url, reloader=reloader)
        traffic = Traffic()
        local = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        metrics = Metrics(parts, traffic, local)
        responses = Responses(fleet.leases, local, parts.engine_keys)
        stack.callback(responses.close)
        forwarder = Forwarder(
            fleet,
            router,
            pool,
            traffic,
            responses,
            guard,
            parts.engine_keys,
            max_body_bytes=settings.max_body_mib * 2**20,
            max_waiting_bytes=settings.max_waiting_mib * 2**20,
            wait_comment_s=settings.wait_comment_s,
            stream_keep_alive_s=settings.stream_keep_alive_s,
        )
        session = await stack.enter_async_context(socket_session())
        realtime = Realtime(fleet, router, session, traffic, guard, parts.engine_keys, idle_s=settings.realtime_idle_s)
        public = web_app.runner(
            web_app.public_app(guard, admin, Named(forwarder, router, responses), realtime, metrics)
        )
        private = web_app.runner(web_app.private_app(admin, Gate(fleet, router), Reloading(reloader), Keys(keyring)))
        for runner in (public, private):
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
        supervisord_pid = await Supervisord(here.supervisord_socket).pid()
        await parts.programs.use(catalog.models.values())
        await fleet.adopt()
        await parts.programs.remove_strangers()
        if problem is None:
            await asyncio.to_thread(kept.keep, catalog)
        await web_app.listen_unix(private, here.gate_socket)
        front = web_app.front(public, forwarder)
        context = None if tls is None else tls.context
        listening = await web_app.listen_tcp(front, settings.listen_host, settings.listen_port, context)
        if tls is not None:
            stack.callback(asyncio.create_task(tls.watch()).cancel)
        stack.push_async_callback(front.close, web_app.SHUTDOWN_TIMEOUT_S)
        stack.callback(listening.close)
        stack.callback(fleet.close)
        _spare_the_collector()
        _open_many_files()
        log.info("serving %s from %s on %s", url, catalog.folder, ", ".join(parts.device_names))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload_soon)
        await _until_told(fleet, supervisord_pid)
        log.info("going away; the engines go on")


def _tls(here: Layout, settings: Settings) -> Tls | None:
    """None where it is not wanted. Raises: TlsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise TlsError("tls_certificate and tls_key: set both, or neither")
    return Tls(here.root / certificate, here.root / key)


def _check_open(keyring: Keyring, settings: Settings) -> None:
    """Without keys everybody may do everything, so that nobody must come from elsewhere. Raises: ListenError."""
    if not keyring.is_open:
        return
    host = settings.listen_host
    with suppress(ValueError):
        if ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
            log.warning("there are no keys: every user of this machine may ask everything (manage_vllm.sh keys make)")
            return
    if not settings.open_to_all:
        what = f"there are no keys, so that it does not listen on {host or 'all addresses'} (setting listen_host)"
        remedy = "make a key: bin/manage_vllm.sh keys make NAME. Or have everybody in: open_to_all: true"
        raise web_app.ListenError(f"{what}: {remedy}")
    log.warning("there are no keys, and open_to_all is set: whoever reaches %s may ask everything", host)


def _open_many_files() -> None:
    """Each client and each exchange is an open file; most systems give 1024 by default, and far more to who asks."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """What is there now stays, and requests leave no cycles behind: the collector need not look as often as by default.

    With many requests in flight it would run every few of them, for a tenth of all that a request costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def _until_told(fleet: Fleet, supervisord_pid: int) -> None:
    """Run the fleet until SIGTERM, SIGINT or the end of supervisord. Raises: what the fleet raises, SupervisordGone."""
    running = asyncio.ensure_future(fleet.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    is_gone = asyncio.Event()

    def gone() -> None:
        is_gone.set()
        running.cancel()

    stop_watching = processes.on_end(supervisord_pid, gone)
    try:
        with suppress(asyncio.CancelledError):
            await running
    finally:
        stop_watching()
    if is_gone.is_set() and os.getppid() != supervisord_pid:
        raise SupervisordGone


if __name__ == "__main__":
    sys.exit(main())
