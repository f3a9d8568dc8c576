import pytest

from proxy.upstream.pool import Pool
from tests.installation import free_port
from tests.upstream.conftest import Engine, Kept, until
from tests.upstream.test_connection import OK, REQUEST, SIZE, ask


async def test_an_idle_connection_is_used_again_the_last_one_first(engine: Engine, pool: Pool) -> None:
    assert pool.take(engine.port) is None
    both = [await ask(engine, pool, OK) for _ in range(2)]
    for sink, connection, _ in both:
        await sink.over.wait()
        pool.give_back(engine.port, connection)
    assert pool.take(engine.port) is both[1][1]
    assert pool.take(engine.port) is both[0][1]
    assert pool.take(engine.port) is None


async def test_one_that_has_been_idle_for_too_long_is_closed_and_not_used(engine: Engine) -> None:
    pool = Pool(idle_s=0.05)
    sink, connection, _ = await ask(engine, pool, OK)
    await sink.over.wait()
    pool.give_back(engine.port, connection)
    await until(lambda: not connection.is_open)
    assert pool.take(engine.port) is None
    pool.close()


async def test_one_that_the_engine_has_closed_is_not_used(engine: Engine, pool: Pool) -> None:
    sink, connection, writer = await ask(engine, pool, OK)
    await sink.over.wait()
    pool.give_back(engine.port, connection)
    writer.close()
    await until(lambda: not connection.is_open)
    assert pool.take(engine.port) is None


async def test_one_whose_answer_is_not_whole_is_ended(engine: Engine, pool: Pool) -> None:
    connection = await pool.open(engine.port)
    connection.begin(Kept(), REQUEST, SIZE)
    pool.give_back(engine.port, connection)
    assert pool.take(engine.port) is None


async def test_where_nobody_listens_the_refusal_is_told_apart(pool: Pool) -> None:
    with pytest.raises(ConnectionRefusedError):
        await pool.open(free_port())
