import asyncio
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from proxy.upstream.answer import Framing
from proxy.upstream.connection import LONGEST_HEAD_BYTES, Connection
from proxy.upstream.pool import Pool
from tests.upstream.conftest import Engine, Kept, until

REQUEST: list[bytes | memoryview] = [b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"]
SIZE = len(REQUEST[0])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ask(engine: Engine, pool: Pool, answer: bytes) -> tuple[Kept, Connection, asyncio.StreamWriter]:
    connection, sink = await pool.open(engine.port), Kept()
    connection.begin(sink, REQUEST, SIZE)
    request, writer = await engine.answer(answer)
    assert request == REQUEST[0]
    return sink, connection, writer


async def test_an_answer_of_a_length_is_given_on_as_it_comes(engine: Engine, pool: Pool) -> None:
    sink, connection, _ = await ask(engine, pool, OK)
    await sink.over.wait()
    assert (sink.status, sink.framing, sink.bytes, sink.is_whole) == (200, Framing.LENGTH, b"ok", True)
    assert sink.head_lines == b"HTTP/1.1 200 OK\r\nContent-Length: 2"
    assert connection.may_serve_again


async def test_chunks_are_given_on_as_chunks_and_their_end_is_found(engine: Engine, pool: Pool) -> None:
    sink, connection, writer = await ask(engine, pool, CHUNKED + b"2\r\nab\r\n")
    writer.write(b"3;ext=1\r\ncde\r\n0\r\nX-Trailer: 1\r\n\r\n")
    await sink.over.wait()
    assert sink.bytes == b"2\r\nab\r\n3;ext=1\r\ncde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    assert (sink.framing, sink.is_whole, connection.may_serve_again) == (Framing.CHUNKED, True, True)


async def test_a_body_without_a_length_ends_with_its_connection(engine: Engine, pool: Pool) -> None:
    sink, connection, writer = await ask(engine, pool, b"HTTP/1.1 200 OK\r\n\r\nsome")
    writer.write(b" more")
    writer.close()
    await sink.over.wait()
    assert (sink.framing, sink.bytes, sink.is_whole) == (Framing.CLOSE, b"some more", True)
    assert not connection.may_serve_again


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"])
async def test_an_answer_that_has_no_body_is_whole_with_its_head(engine: Engine, pool: Pool, head: bytes) -> None:
    sink, connection, _ = await ask(engine, pool, head)
    await sink.over.wait()
    assert (sink.bytes, sink.is_whole, connection.may_serve_again) == (b"", True, True)


async def test_an_engine_that_says_close_is_not_asked_again_on_the_same_connection(engine: Engine, pool: Pool) -> None:
    sink, connection, _ = await ask(engine, pool, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await sink.over.wait()
    assert sink.is_whole
    assert not connection.may_serve_again


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP at all\r\n\r\n",
        OK + OK,
        OK[:-2] + b"okay",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (LONGEST_HEAD_BYTES + 1),
    ],
    ids=["no HTTP", "two answers", "too long a body", "interim", "both lengths", "no length", "bad chunk", "long head"],
)
async def test_what_is_not_one_answer_is_lost_and_not_served_again(engine: Engine, pool: Pool, answer: bytes) -> None:
    sink, connection, _ = await ask(engine, pool, answer)
    await sink.over.wait()
    assert sink.why is not None
    assert not sink.why.was_never_read
    assert not sink.is_whole
    assert not connection.is_open


async def test_an_engine_that_ends_in_mid_answer_leaves_it_unfinished(engine: Engine, pool: Pool) -> None:
    sink, _, writer = await ask(engine, pool, CHUNKED + b"2\r\nab\r\n")
    writer.close()
    await sink.over.wait()
    assert sink.why is not None
    assert not sink.why.was_never_read, "it had begun"


async def test_an_engine_that_speaks_unasked_is_dropped(engine: Engine, pool: Pool) -> None:
    sink, connection, writer = await ask(engine, pool, OK)
    await sink.over.wait()
    writer.write(OK)
    await until(lambda: not connection.is_open)


async def reused(engine: Engine, pool: Pool) -> tuple[Connection, socket.socket, asyncio.StreamWriter]:
    """A connection on which one exchange has ended well, and the engine's end of it."""
    sink, connection, writer = await ask(engine, pool, OK)
    await sink.over.wait()
    pool.give_back(engine.port, connection)
    assert pool.take(engine.port) is connection
    end = writer.get_extra_info("socket")
    return connection, end, writer


async def test_a_request_that_met_a_closed_end_was_never_read(engine: Engine, pool: Pool) -> None:
    connection, _, writer = await reused(engine, pool)
    writer.transport.abort()
    await asyncio.sleep(0)  # the engine's end is closed; this one's has not been looked at
    sink = Kept()
    connection.begin(sink, REQUEST, SIZE)
    await sink.over.wait()
    assert sink.why is not None
    assert sink.why.was_never_read


async def test_a_request_for_a_connection_that_is_being_closed_was_never_sent(engine: Engine, pool: Pool) -> None:
    connection, _, _ = await reused(engine, pool)
    assert connection.transport is not None
    connection.transport.close()  # as the engine's end of it has, while the audit noted the request
    sink = Kept()
    connection.begin(sink, REQUEST, SIZE)
    await sink.over.wait()
    assert sink.why is not None
    assert sink.why.was_never_read


async def test_a_request_that_was_read_before_its_engine_ended_may_have_begun(engine: Engine, pool: Pool) -> None:
    connection, _, writer = await reused(engine, pool)
    sink = Kept()
    connection.begin(sink, REQUEST, SIZE)
    await asyncio.sleep(0.05)  # the engine's stream has read it into its buffer
    writer.close()
    await sink.over.wait()
    assert sink.why is not None
    assert not sink.why.was_never_read


async def test_a_new_connection_is_never_taken_for_one_that_had_been_idle(engine: Engine, pool: Pool) -> None:
    connection, sink = await pool.open(engine.port), Kept()
    _, writer = await engine.connections.get()
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.begin(sink, REQUEST, SIZE)
    writer.transport.abort()
    await sink.over.wait()
    assert sink.why is not None
    assert not sink.why.was_never_read


async def test_what_is_aborted_tells_its_sink_nothing_and_the_engine_at_once(engine: Engine, pool: Pool) -> None:
    connection, sink = await pool.open(engine.port), Kept()
    connection.begin(sink, REQUEST, SIZE)
    reader, _ = await engine.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    connection.abort()
    assert await reader.read() == b""
    assert not sink.over.is_set()


async def test_a_request_goes_out_no_faster_than_the_engine_reads(engine: Engine, pool: Pool) -> None:
    connection, sink = await pool.open(engine.port), Kept()
    connection.begin(sink, [b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"], 0)
    piece, sent = b"x" * 2**16, 0

    async def send() -> None:
        nonlocal sent
        for _ in range(1_000):
            await connection.send(piece)
            sent += len(piece)

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.2)
    assert not sending.done()
    assert sent < 2**24, "the rest waits until the engine reads"
    reader, writer = await engine.connections.get()
    writer.write(OK)
    await sink.over.wait()
    connection.abort()
    await sending
    assert reader is not None


async def test_a_pause_holds_the_answer_back(engine: Engine, pool: Pool) -> None:
    sink, connection, writer = await ask(engine, pool, CHUNKED + b"2\r\nab\r\n")
    await until(lambda: bool(sink.bytes))
    connection.pause()
    writer.write(b"0\r\n\r\n")
    await asyncio.sleep(0.05)
    assert not sink.over.is_set()
    connection.resume()
    await sink.over.wait()


async def test_a_pause_at_the_last_piece_does_not_outlast_its_answer(engine: Engine, pool: Pool) -> None:
    """Else the next request on the connection would wait for ever."""
    connection = await pool.open(engine.port)

    class Slow(Kept):
        def body(self, data: bytes) -> None:
            super().body(data)
            connection.pause()

    sink = Slow()
    connection.begin(sink, REQUEST, SIZE)
    _, writer = await engine.answer(CHUNKED + b"2\r\nab\r\n")
    await until(lambda: bool(sink.bytes))
    writer.write(b"0\r\n\r\n")
    await sink.over.wait()
    following = Kept()
    connection.begin(following, REQUEST, SIZE)
    writer.write(OK)
    await asyncio.wait_for(following.over.wait(), 2)
    assert following.bytes == b"ok"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    body=st.lists(st.binary(min_size=1, max_size=20), max_size=5),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    is_chunked=st.booleans(),
)
def test_however_the_bytes_come_they_are_given_on_as_they_are(
    body: list[bytes], cuts: list[int], is_chunked: bool
) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in body) + b"0\r\n\r\n" if is_chunked else b"".join(body)
    head = CHUNKED if is_chunked else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(raw)
    whole = head + raw
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_fed(whole, sorted(cuts), raw))
    finally:
        loop.close()


async def _fed(whole: bytes, cuts: list[int], raw: bytes) -> None:
    connection, sink = Connection(), Kept()
    connection.transport = _Nothing()  # type: ignore[assignment]
    connection.begin(sink, [b""], 0)
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if piece := whole[begin:end]:
            connection.data_received(piece)
    assert sink.is_whole
    assert sink.bytes == raw


class _Nothing:
    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("what came was right")
