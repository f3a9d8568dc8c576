"""What a process may ask at the gate, of a whole fleet."""

import asyncio

import pytest

from proxy.core import messages
from proxy.core.costs import Costs
from proxy.core.errors import EngineStartFailed
from proxy.core.methods import Method
from proxy.core.states import EngineState
from tests.fleet_stage import LAUNCH, Stage


async def test_a_process_says_how_it_goes_on_before_or_after_its_question_is_heard() -> None:
    stage = Stage()
    stage.fleet.asking.reached("a", 7, Method.FORK)
    gate = asyncio.create_task(stage.fleet.asking.leave("a", 7))
    assert await gate == LAUNCH
    assert stage.scheduler._board.engines["a"].method is Method.FORK


async def test_a_process_that_nobody_told_to_start_is_a_persons() -> None:
    stage, told = Stage(), []
    stage.fleet.asking.on_start = told.append
    stage.lifecycle.ready.clear()
    asked = asyncio.create_task(stage.fleet.leases.take("a").__aenter__())
    await stage.until("a", EngineState.STARTING)
    stage.fleet.asking.reached("a", 7)
    await stage.fleet.asking.leave("a", 7)
    assert told == []
    stage.lifecycle.ready.set()
    await asked
    gate = asyncio.create_task(stage.fleet.asking.leave("b", 8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == ["b"]
    gate.cancel()


async def test_one_that_has_leave_may_say_that_it_goes_on_otherwise() -> None:
    stage = Stage()
    stage.lifecycle.ready.clear()
    asked = asyncio.create_task(stage.fleet.leases.take("a").__aenter__())
    await stage.until("a", EngineState.STARTING)
    stage.fleet.asking.reached("a", 7, Method.FORK)
    await stage.fleet.asking.leave("a", 7)
    engine = stage.scheduler._board.engines["a"]
    stage.lifecycle.has_leave_pid = 7
    stage.fleet.asking.reached("a", 8, Method.SPAWN)
    assert engine.method is Method.FORK, "another process"
    stage.fleet.asking.reached("a", 7, Method.PLAIN)
    assert (engine.method, engine.state) == (Method.PLAIN, EngineState.STARTING)
    stage.lifecycle.ready.set()
    await asked


async def test_a_model_that_starts_only_plainly_is_told_to_do_nothing_ahead() -> None:
    stage = Stage()
    engine = stage.scheduler._board.engines["a"]
    assert (await stage.fleet.asking.preparation("a", 7)).executable == "/vllm"
    assert engine.method is Method.SPAWN, "what it fails in now may be the preparation's fault"
    stage.fleet.feed(messages.CostsRemembered("a", Costs(is_plain_only=True)))
    assert (await stage.fleet.asking.preparation("a", 7)).executable is None
    assert engine.method is Method.PLAIN


async def test_a_start_that_is_bound_to_fail_fails_before_anything_is_imported() -> None:
    stage = Stage()
    stage.lifecycle.launch_error = EngineStartFailed("no weights")
    asked = asyncio.create_task(stage.fleet.leases.take("a").__aenter__())
    await stage.until("a", EngineState.STARTING)
    with pytest.raises(EngineStartFailed):
        await stage.fleet.asking.preparation("a", 7)
    with pytest.raises(EngineStartFailed):
        await asked
