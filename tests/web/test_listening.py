import asyncio
import socket
from typing import cast

import pytest

from proxy.web.listening import listen


class Greets(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"hello")


def bound() -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    one.listen()
    return one


async def test_a_handed_socket_is_listened_on_if_it_is_the_one_that_is_wanted() -> None:
    handed = bound()
    port = handed.getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)  # before anybody accepts
    listening = await listen(Greets, "127.0.0.1", port, None, [handed])
    writer.write(b"x")
    assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
    assert [one.fileno() for one in listening.sockets] == [handed.fileno()]
    assert repr(listening) == "<Listening on 1 sockets>"
    writer.close()
    listening.close()


async def test_one_of_another_address_is_closed_and_the_address_of_the_settings_counts() -> None:
    handed, other = bound(), bound()
    port = other.getsockname()[1]
    other.close()
    listening = await listen(Greets, "127.0.0.1", port, None, [handed])
    assert handed.fileno() == -1
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
    writer.close()
    listening.close()


async def test_an_address_that_is_taken_is_an_error() -> None:
    with bound() as taken, pytest.raises(OSError, match="in use"):
        await listen(Greets, "127.0.0.1", taken.getsockname()[1], None, [])
