"""What the kernel knows of a connection and asyncio does not tell: struct tcp_info of <linux/tcp.h>, and its reset."""

import asyncio
import socket
import struct
from contextlib import suppress

_BYTES_ACKED = struct.Struct("Q"), 120
_BYTES = 128
"""tcpi_bytes_acked is a u64 at offset 120; the SYN counts as one. tcpi_state is the first byte."""
_ESTABLISHED = 1
"""CLOSE_WAIT is what follows the other end's FIN."""
_AT_ONCE = struct.pack("ii", 1, 0)


def acked_bytes(transport: asyncio.Transport) -> int | None:
    """How much of what was sent the other end's kernel has taken; None where that is not known."""
    unpack, offset = _BYTES_ACKED
    try:
        return int(unpack.unpack_from(_told(transport, _BYTES), offset)[0]) - 1
    except (AttributeError, OSError, struct.error):
        return None


def has_ended(transport: asyncio.Transport) -> bool:
    """Whether the other end has closed, or the connection is gone; False where that is not known."""
    try:
        told = _told(transport, 1)
    except (AttributeError, OSError):
        return False
    return bool(told) and told[0] != _ESTABLISHED


def reset(transport: asyncio.Transport) -> None:
    """Cut the connection off: the other end sees no clean end, and the kernel keeps nothing for it."""
    with suppress(AttributeError, OSError):  # it is gone
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _told(transport: asyncio.Transport, size: int) -> bytes:
    told: bytes = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    return told
