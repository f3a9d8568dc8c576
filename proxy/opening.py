"""What is done once, before the proxy serves: what it needs is opened, and whether it may listen is found out."""

import asyncio
import gc
import hashlib
import logging
import os
import resource
import time
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_address

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import read_key
from proxy.adapters.state_files import StateFile
from proxy.assembly import Assembled
from proxy.audit import Audit
from proxy.core.addresses import Trusted
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_records import BEGAN, PROXY
from proxy.history import History, Seen
from proxy.identity import Identity
from proxy.keyring import Keyring
from proxy.lifecycle.watch import WITH_SUPERVISORCTL
from proxy.settings import Layout, Settings
from proxy.web.app import ListenError
from proxy.web.guard import Guard
from proxy.web.tls import Tls, TlsError
from proxy.weights import Taken, Weights

log = logging.getLogger(__name__)

COLLECT_AFTER = 20_000
"""New objects, less those that have gone, after which the collector of cycles runs; Python's own is 700."""


def check_open(keyring: Keyring, settings: Settings) -> None:
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
        raise ListenError(f"{what}: {remedy}")
    log.warning("there are no keys, and open_to_all is set: whoever reaches %s may ask everything", host)


def open_guard(keyring: Keyring, settings: Settings) -> Guard:
    """Raises: ListenError."""
    try:
        return Guard(keyring, Trusted(settings.trusted_proxies), open_to_all=settings.open_to_all)
    except ValueError as error:
        what = f"{error}. Give addresses or networks, as 10.0.0.7 or 10.0.0.0/8 (setting trusted_proxies)"
        raise ListenError(what) from error


def open_tls(here: Layout, settings: Settings) -> Tls | None:
    """None where it is not wanted. Raises: TlsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise TlsError("tls_certificate and tls_key: set both, or neither")
    return Tls(here.root / certificate, here.root / key)


def open_audit(here: Layout, settings: Settings, stack: AsyncExitStack) -> Audit | None:
    """None where it is not wanted. Raises: AuditError."""
    if not settings.audit:
        return None
    key = read_key(here.audit)
    audit = Audit(
        AuditFiles(here.audit, key),
        Hasher(key),
        settings.audit_segment_mib * 2**20,
        keep_days=settings.audit_keep_days,
        is_required=settings.audit_required,
        is_strict=settings.audit_strict,
    )
    stack.callback(audit.close)
    stack.callback(asyncio.create_task(audit.run()).cancel)
    audit.act(PROXY, f"{BEGAN}, pid {os.getpid()}, with {_keys_of(here)}")
    stack.callback(audit.act, PROXY, "ended")
    return audit


def _keys_of(here: Layout) -> str:
    """The keys as they are now, by a hash: they can be changed while no proxy runs that would note it."""
    try:
        return f"keys whose file has the SHA-256 {hashlib.sha256(here.keys.read_bytes()).hexdigest()}"
    except FileNotFoundError:
        return "no keys"


def open_identity(here: Layout, parts: Assembled, audit: Audit | None, stack: AsyncExitStack) -> Identity:
    """Who knows what answers, for the audit; of weights only where there is one."""
    if audit is None:
        return Identity(parts.entries.told_as)
    kept = StateFile(here.state / "weights.json", dict[str, Taken], {})
    weights = Weights(parts.entries.specs, here.root, kept, audit)
    stack.callback(asyncio.create_task(weights.run()).cancel)

    def look_again(model: str) -> None:
        parts.entries.launched(model)
        weights.forget(model)

    parts.launching.on_launch = look_again
    return Identity(parts.entries.told_as, weights)


def note_stop(audit: Audit, model: str, who: str) -> None:
    """Somebody has stopped `model`, in whatever way."""
    audit.act(who, "stopped", model)


def note_start(audit: Audit, model: str) -> None:
    """Somebody has started `model`, and not through the proxy, which notes what it is asked."""
    audit.act(WITH_SUPERVISORCTL, "started", model)


def note_keys(audit: Audit, told: list[str]) -> None:
    """The file of keys has changed, and nobody has said that it did."""
    for what in told:
        audit.act("the file of keys", what)


def dump_nothing() -> None:
    """No core of this process is written, which would hold what is said. 1 is for systems that pipe it (core(5)): those
    write it whatever the limit, but for this one; less than a page is never written to a file.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if most == resource.RLIM_INFINITY else min(1, most)
    resource.setrlimit(resource.RLIMIT_CORE, (least, least))


def open_many_files() -> None:
    """Each client and each exchange is an open file; most systems give 1024 by default, and far more to who asks."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def spare_the_collector() -> None:
    """What is there now stays, and requests leave no cycles behind: the collector need not look as often as by default.

    With many requests in flight it would run every few of them, for a tenth of all that a request costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def go_on_from_history(here: Layout, history: History, stack: AsyncExitStack) -> None:
    """Have the roster's last hour go on from what the proxy before has seen, and keep it for the next one."""
    file = StateFile(here.state / "history.json", Seen, Seen())
    history.go_on_from(file.read(), time.time())
    stack.callback(lambda: file.write(history.seen(time.time())))
