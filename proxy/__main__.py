"""`python -m proxy`: puts the parts together and runs them until told to stop.

Exit statuses: 0 told to stop; 1 another proxy runs here; 2 the settings or the catalog are wrong, an address is
taken, or supervisord does not answer; 4 supervisord was killed, and another one was started; a bug ends in a
traceback, and supervisord starts the next proxy, which adopts the engines.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TextIO

import httpx
import uvloop

from catalog.spec import Catalog
from catalog.yaml_file import CatalogError
from proxy import daemon, opening
from proxy.adapters import handed_sockets, processes
from proxy.adapters.audit_folder import AuditError
from proxy.adapters.key_file import KeyFile, KeyFileError
from proxy.adapters.own_folders import OwnFolderError, make_own
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
from proxy.web.audits import Audits
from proxy.web.events import Events
from proxy.web.for_admins import ForAdmins
from proxy.web.forward import Forwarder
from proxy.web.gate import Gate
from proxy.web.hand_over import HandOver
from proxy.web.keys import Keys
from proxy.web.metrics import Metrics
from proxy.web.named import Named
from proxy.web.openapi import OpenApi
from proxy.web.page import Page
from proxy.web.realtime import Realtime, socket_session
from proxy.web.reloading import Reloading
from proxy.web.responses import Responses
from proxy.web.tls import TlsError

log = logging.getLogger("proxy")

EXIT_ALREADY_RUNS = 1
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
        for folder in (here.run, here.audit, here.keys.parent, here.state):
            make_own(folder)
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
    except (
        CatalogError,
        DeviceError,
        SupervisorError,
        AuditError,
        KeyFileError,
        OwnFolderError,
        TlsError,
        web_app.ListenError,
    ) as error:
        print(f"proxy: {error}", file=sys.stderr)
        return daemon.EXIT_CONFIGURATION
    lock.close()
    return 0


def _lock(path: Path) -> TextIO:
    """Hold the lock of this project folder for as long as the returned file is open. Raises: AlreadyRuns."""
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
    opening.dump_nothing()
    router = Router(catalog)
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    tls = opening.open_tls(here, settings)
    url = f"{'http' if tls is None else 'https'}://{host}:{settings.listen_port}"
    async with AsyncExitStack() as stack:
        keyring = Keyring(KeyFile(here.keys), StateFile(here.state / "used_today.json", dict[str, Used], {}))
        stack.callback(keyring.keep_now)
        stack.callback(asyncio.create_task(keyring.keep()).cancel)
        guard = opening.open_guard(keyring, settings)
        opening.check_open(keyring, settings)
        audit = opening.open_audit(here, settings, stack)
        if audit is not None:
            keyring.on_change = partial(opening.note_keys, audit)
        pool = Pool()
        stack.callback(pool.close)
        parts = await assemble(here, settings, catalog, stack)
        fleet = parts.fleet
        opening.go_on_from_history(here, fleet.happenings.history, stack)
        if audit is not None:
            parts.keeper.on_stop = partial(opening.note_stop, audit)
            fleet.asking.on_start = partial(opening.note_start, audit)
        identity = opening.open_identity(here, parts, audit, stack)
        reloader = Reloader(here=here, settings=settings, parts=parts, router=router, kept=kept, problem=problem)
        admin = Admin(parts=parts, router=router, url=url, reloader=reloader)
        traffic = Traffic()
        local = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        metrics = Metrics(parts, traffic, local, audit)
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
            audit=audit,
            identity=identity,
            max_body_bytes=settings.max_body_mib * 2**20,
            max_waiting_bytes=settings.max_waiting_mib * 2**20,
            wait_comment_s=settings.wait_comment_s,
            stream_keep_alive_s=settings.stream_keep_alive_s,
        )
        session = await stack.enter_async_context(socket_session())
        realtime = Realtime(
            fleet,
            router,
            session,
            traffic,
            guard,
            parts.engine_keys,
            audit=audit,
            identity=identity,
            idle_s=settings.realtime_idle_s,
        )
        events = Events(fleet, router, here)
        reloading, keys = Reloading(reloader), Keys(keyring, audit)
        for_admins = ForAdmins(admin, reloading, Audits(here))
        named = Named(forwarder, router, responses)
        public = web_app.runner(
            web_app.public_app(guard, audit, admin, for_admins, Page(), events, named, realtime, metrics, OpenApi())
        )
        hand_over = HandOver(here.hand_over_socket)
        verbs = (Gate(fleet, router), reloading, keys, hand_over)
        private = web_app.runner(web_app.private_app(audit, admin, events, *verbs))
        for runner in (public, private):
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
        supervisord_pid = await Supervisord(here.supervisord_socket).pid()
        await parts.programs.use(catalog.models.values())
        await fleet.adopt()
        await parts.programs.remove_strangers()
        if problem is None:
            await asyncio.to_thread(kept.keep, catalog)
        front = web_app.front(public, forwarder)
        context = None if tls is None else tls.context
        handed = await asyncio.to_thread(handed_sockets.take, here.hand_over_socket)
        listening = await web_app.listen_tcp(front, settings.listen_host, settings.listen_port, context, handed)
        hand_over.listening = listening
        if tls is not None:
            stack.callback(asyncio.create_task(tls.watch()).cancel)
        stack.push_async_callback(front.close, web_app.SHUTDOWN_TIMEOUT_S)
        stack.callback(listening.close)
        stack.callback(fleet.close)
        await web_app.listen_unix(private, here.gate_socket)  # last: who asks there is told that all is well
        opening.spare_the_collector()
        opening.open_many_files()
        log.info("serving %s from %s on %s", url, catalog.folder, ", ".join(parts.device_names))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload_soon)
        await _until_told(fleet, supervisord_pid)
        log.info("going away; the engines go on")


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
