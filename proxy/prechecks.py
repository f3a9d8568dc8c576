"""What must hold before supervisord is started, found out before: folders, the paths of the sockets, the port."""

import errno
import os
import socket

from proxy.adapters import processes
from proxy.adapters.own_folders import OwnFolderError, make_own
from proxy.core.addresses import LONGEST_SOCKET_BYTES
from proxy.settings import Layout

_BEHIND = "var/run/supervisord.sock.4194304"
"""The longest path of a socket below the project folder: supervisord binds one with its pid, and renames it."""


class DaemonError(Exception):
    """It could not be started, reached or stopped; the message says what to do."""


def make_folders(here: Layout) -> None:
    """Those that supervisord wants to be there, for this user only. Raises: DaemonError where it cannot work there."""
    longest = LONGEST_SOCKET_BYTES - len(_BEHIND) - 1
    if (length := len(os.fsencode(here.root))) > longest:
        what = f"the path {here.root} is {length} bytes long, and may be {longest}"
        raise DaemonError(f"{what}: those of the sockets below it would be longer than Unix allows; move the folder")
    here.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        make_own(here.run)
    except OwnFolderError as error:
        raise DaemonError(str(error)) from error


def check_listen(host: str, port: int) -> None:
    """Find out now whether the proxy will be able to listen there. Raises: DaemonError."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        what = f"cannot listen on {host}:{port} (settings listen_host and listen_port): {error.strerror}"
        who = processes.port_holder(port) if error.errno == errno.EADDRINUSE else None
        raise DaemonError(f"{what}, by {who}" if who else what) from error
