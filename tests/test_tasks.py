import asyncio

from proxy.tasks import Tasks


async def test_the_first_bug_is_kept_and_told_of_and_an_end_is_not_one() -> None:
    told: list[str] = []
    tasks = Tasks(on_crash=lambda: told.append("crash"))

    async def fail(number: int) -> None:
        raise ZeroDivisionError(number)

    async def end() -> None:
        pass

    await asyncio.gather(*(tasks.run(work) for work in (end(), fail(1), fail(2))), return_exceptions=True)
    await asyncio.sleep(0)
    assert isinstance(tasks.crash, ZeroDivisionError)
    assert tasks.crash.args == (1,)
    assert told == ["crash", "crash"]


async def test_what_is_cancelled_is_no_bug() -> None:
    tasks = Tasks(on_crash=lambda: None)
    task = tasks.run(asyncio.sleep(3600))
    await asyncio.sleep(0)
    tasks.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert tasks.crash is None
