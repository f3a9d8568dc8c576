import asyncio
import socket

from proxy.upstream.tcp_info import acked_bytes, has_ended, reset
from tests.upstream.conftest import until


async def pair() -> tuple[asyncio.Transport, asyncio.StreamReader, asyncio.StreamWriter]:
    """A transport, and the other end of it."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: accepted.put(ends), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    reader, other = await accepted.get()
    server.close()
    return transport, reader, other


async def test_what_the_other_kernel_has_taken_is_known() -> None:
    transport, reader, other = await pair()
    assert acked_bytes(transport) == 0
    transport.write(b"x" * 1000)
    await reader.readexactly(1000)
    await until(lambda: acked_bytes(transport) == 1000)
    transport.abort()
    other.close()


async def test_the_end_of_the_other_side_is_known_without_reading() -> None:
    transport, _, other = await pair()
    transport.pause_reading()
    assert not has_ended(transport)
    other.close()
    await until(lambda: has_ended(transport))
    transport.abort()


async def test_a_reset_is_no_clean_end() -> None:
    transport, reader, other = await pair()
    reset(transport)
    try:
        await reader.read()
    except ConnectionResetError:
        return
    finally:
        other.close()
    raise AssertionError("it looked like a clean end")


async def test_of_what_is_no_tcp_nothing_is_known() -> None:
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    assert acked_bytes(transport) is None
    assert not has_ended(transport)
    reset(transport)
    theirs.close()
