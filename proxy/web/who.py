"""Who asks for an act, in words: by the kernel's word on the Unix socket, by the key on the public port."""

import pwd
import socket
import struct
from contextlib import suppress

from aiohttp import web

from proxy.web.guard import CALLER

_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred of <sys/socket.h>


def peer(request: web.Request) -> tuple[int, int]:
    """The pid and the uid of who is at the other end of the Unix socket."""
    connection = request.get_extra_info("socket")
    pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(pid), int(uid)


def who(request: web.Request) -> str:
    """Who asks: a user of this machine with manage_vllm.sh, a key, or, where there are no keys, somebody here."""
    if (caller := request.get(CALLER)) is not None:
        return f"by the key {caller.key.name}"
    if request.get_extra_info("socket").family != socket.AF_UNIX:
        return "by somebody on this machine, over HTTP"
    _, uid = peer(request)
    name = str(uid)
    with suppress(KeyError):
        name = pwd.getpwuid(uid).pw_name
    return f"with manage_vllm.sh by {name}"
