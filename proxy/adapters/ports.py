"""Whether somebody listens on a port of the loopback, found out for a few microseconds."""

import asyncio
import socket


async def listens(port: int) -> bool:
    """Whether a connection is taken there. One is made, and closed at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
        except OSError:
            return False
        return True
