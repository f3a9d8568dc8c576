"""supervisord, by XML-RPC over its Unix socket. The only module that imports the `supervisor` package.

Rule: every call is bounded in time and runs in a thread, since the XML-RPC client blocks. supervisord's RUNNING
means that a process exists, not that an engine is ready.
"""

import asyncio
import socket
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults, SupervisorTransport, UnixStreamHTTPConnection

CALL_TIMEOUT_S = 10.0
_ALIVE = frozenset({ProcessStates.STARTING, ProcessStates.RUNNING})


class SupervisorError(Exception):
    """supervisord cannot be reached, or refused a call."""


class NoSuchProgram(SupervisorError):
    """supervisord has no program of that name: its files were rendered from another catalog."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program at one moment. `pid` is also the process group; it is None when no process is there."""

    name: str
    state: str
    pid: int | None
    is_alive: bool
    was_stopped_by_hand: bool
    exit_status: int


class Supervisord:
    """The supervisord that listens on `socket_path`."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def __repr__(self) -> str:
        return f"<Supervisord {self._socket_path}>"

    async def programs(self) -> dict[str, Program]:
        """All programs by name. Raises: SupervisorError."""
        told = await self._call(lambda supervisor: supervisor.getAllProcessInfo())
        return {one["name"]: _program(one) for one in told}

    async def program(self, name: str) -> Program:
        """One program. Raises: SupervisorError."""
        return _program(await self._call(lambda supervisor: supervisor.getProcessInfo(name)))

    async def start(self, name: str) -> None:
        """Have the program's process created; returns before it does anything. Raises: SupervisorError.

        Where a person did so in the same moment, it is there already: it will ask at the gate all the same.
        """
        await self._call_unless(Faults.ALREADY_STARTED, lambda supervisor: supervisor.startProcess(name, False))

    async def stop(self, name: str) -> None:
        """Ask the program to end; returns before it has. Raises: SupervisorError."""
        await self._call_unless(Faults.NOT_RUNNING, lambda supervisor: supervisor.stopProcess(name, False))

    async def add(self, names: Sequence[str]) -> None:
        """Have it read its files again and know these programs, too; none of the others is touched.

        Raises: SupervisorError.
        """
        await self._call(lambda supervisor: supervisor.reloadConfig())
        for name in names:
            await self._call_unless(Faults.ALREADY_ADDED, _adding(name))

    async def remove(self, name: str) -> None:
        """Have it forget a program that has no process. Raises: SupervisorError."""
        await self._call_unless(Faults.BAD_NAME, lambda supervisor: supervisor.removeProcessGroup(name))

    async def shut_down(self) -> None:
        """End supervisord and all its programs; returns before it is done. Raises: SupervisorError."""
        await self._call(lambda supervisor: supervisor.shutdown())

    async def pid(self) -> int:
        """supervisord's own pid. Raises: SupervisorError."""
        return int(await self._call(lambda supervisor: supervisor.getPID()))

    async def _call_unless(self, done_already: int, call: Callable[[Any], Any]) -> None:
        """Call; the fault `done_already` is none. Raises: SupervisorError."""
        try:
            await self._call(call)
        except SupervisorError as error:
            fault = error.__cause__
            if not (isinstance(fault, xmlrpc.client.Fault) and fault.faultCode == done_already):
                raise

    async def _call(self, call: Callable[[Any], Any]) -> Any:
        return await asyncio.to_thread(self._call_blocking, call)

    def _call_blocking(self, call: Callable[[Any], Any]) -> Any:
        # A transport per call: the client keeps one connection and is not thread-safe.
        transport = _Transport(self._socket_path)
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return call(proxy.supervisor)
        except xmlrpc.client.Fault as error:
            kind = NoSuchProgram if error.faultCode == Faults.BAD_NAME else SupervisorError
            raise kind(f"supervisord refused: {error.faultString}") from error
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorError(f"no answer from supervisord at {self._socket_path}: {error}") from error
        finally:
            transport.close()


def _adding(name: str) -> Callable[[Any], Any]:
    return lambda supervisor: supervisor.addProcessGroup(name)


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]  # the supervisor package is untyped
    """supervisor's own connection, with a time limit: a hung supervisord must not hold a thread for ever."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_TIMEOUT_S)
        self.sock.connect(self.socketfile)


class _Transport(SupervisorTransport):  # type: ignore[misc]  # the supervisor package is untyped
    """supervisor's own transport, over the connection above."""

    def __init__(self, socket_path: Path) -> None:
        super().__init__(None, None, f"unix://{socket_path}")

        def connect() -> _Connection:
            connection = _Connection("localhost")
            connection.socketfile = str(socket_path)
            return connection

        self._get_connection = connect


def _program(told: dict[str, Any]) -> Program:
    state = told["state"]
    return Program(
        name=told["name"],
        state=told["statename"],
        pid=told["pid"] or None,
        is_alive=state in _ALIVE,
        was_stopped_by_hand=state in (ProcessStates.STOPPED, ProcessStates.STOPPING),
        exit_status=told["exitstatus"],
    )
