"""Listening sockets, handed from the proxy that goes to the one that comes, so that nobody is refused in between.

A third process keeps them meanwhile: the verb that restarts the proxy. It listens on a Unix socket; who goes gives
them there, who comes takes them, and what connects in between waits in the kernel. Rule: nothing depends on it. Where
nobody keeps sockets, the next proxy listens anew.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from proxy.adapters.own_folders import made_own

MOST_SOCKETS = 16
"""A host name has an address or two."""
TIMEOUT_S = 5.0
_GIVE, _TAKE, _DONE = b"give", b"take", b"done"


class Keeper:
    """Keeps what is given at `path`, for whoever takes it there, until it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __repr__(self) -> str:
        return f"<Keeper {self._path}, {len(self._kept)} sockets>"

    def __enter__(self) -> "Keeper":
        """Listen, in a folder that only this user can enter. Raises: OSError."""
        self._path.unlink(missing_ok=True)
        with made_own():
            self._listening.bind(str(self._path))
        self._listening.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends the accept in the thread
        self._thread.join(TIMEOUT_S)
        self._listening.close()
        self._path.unlink(missing_ok=True)
        for one in self._kept:
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(TIMEOUT_S)
                word, descriptors, _, _ = socket.recv_fds(connection, len(_GIVE), MOST_SOCKETS)
                self._kept += [socket.socket(fileno=one) for one in descriptors]
                if word == _TAKE:
                    socket.send_fds(connection, [_DONE], [one.fileno() for one in self._kept])
                else:
                    connection.sendall(_DONE)


def give(path: Path, sockets: Sequence[socket.socket]) -> None:
    """Have them kept at `path`; the caller's own stay open. Raises: OSError where nobody keeps any."""
    with _connected(path) as connection:
        socket.send_fds(connection, [_GIVE], [one.fileno() for one in sockets])
        if connection.recv(len(_DONE)) != _DONE:
            raise ConnectionError(f"{path}: what was given has not been kept")


def take(path: Path) -> list[socket.socket]:
    """What is kept at `path`, to be listened on or closed; nothing where nobody keeps any."""
    try:
        with _connected(path) as connection:
            connection.sendall(_TAKE)
            _, descriptors, _, _ = socket.recv_fds(connection, len(_DONE), MOST_SOCKETS)
    except OSError:
        return []
    return [socket.socket(fileno=one) for one in descriptors]


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
