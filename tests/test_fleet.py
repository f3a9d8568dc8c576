"""The shell around the scheduler, with a lifecycle that does what the test tells it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.render import Launch
from catalog.spec import AgentRoute, Agents, Catalog, Gib, ModelSpec
from proxy.core import messages
from proxy.core.errors import EngineStartFailed, GateRefused, ShuttingDown
from proxy.core.messages import Event
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import EngineState
from proxy.fleet import Fleet

LAUNCH = Launch(["vllm"], {})


def spec(name: str) -> ModelSpec:
    return ModelSpec(
        name=name, weights="w", port=8100, memory_bytes=Gib(30), kv_cache_bytes=Gib(1), max_model_len=8, max_num_seqs=1
    )


class FakeLifecycle:
    """Answers at once with success, unless the test has put something else in."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.start_error: EngineStartFailed | None = None
        self.launch_error: EngineStartFailed | None = None
        self.found: list[str] = []
        self.prepared = asyncio.Event()
        self.prepared.set()
        self.ready = asyncio.Event()
        self.ready.set()
        self.bug: Exception | None = None

    async def start(self, model: str) -> Event | None:
        self.done.append(f"start {model}")
        if self.bug:
            raise self.bug
        return messages.StartFailed(model, self.start_error) if self.start_error else None

    async def check_asker(self, model: str, pid: int) -> None:
        if pid < 0:
            raise GateRefused("not supervisord's")

    async def launch(self, model: str, pid: int) -> Launch:
        self.done.append(f"launch {model} {pid}")
        await self.prepared.wait()
        if self.launch_error:
            raise self.launch_error
        return LAUNCH

    async def wait_ready(self, model: str) -> Event | None:
        await self.ready.wait()
        return messages.EngineReady(model)

    async def stop(self, model: str) -> Event:
        self.done.append(f"stop {model}")
        return messages.EngineStopped(model)

    async def adopt(self) -> list[str]:
        return self.found

    async def look(self, running: object) -> list[Event]:
        return []

    def group_of(self, model: str) -> int | None:
        return None

    async def held_bytes(self) -> dict[str, int]:
        return {"a": 7}

    def expect(self, model: str) -> None:
        self.done.append(f"expect {model}")


class Stage:
    def __init__(self) -> None:
        models = {name: spec(name) for name in ("a", "b")}
        routes = {name.upper(): AgentRoute(model=name) for name in models}
        catalog = Catalog(folder=Path("c"), models=models, agents=Agents(agent_types=routes))
        needs = {name: EngineNeeds(30, 60) for name in models}
        self.scheduler = Scheduler(40, needs)
        self.lifecycle = FakeLifecycle()
        self.fleet = Fleet(
            catalog=catalog,
            scheduler=self.scheduler,
            lifecycle=self.lifecycle,
            poll_interval_s=0.01,  # type: ignore[arg-type]
        )

    def leases(self, model: str) -> int:
        return next(view.leases for view in self.fleet.view() if view.model == model)

    async def until(self, model: str, state: EngineState) -> None:
        for _ in range(1000):
            if self.scheduler.states()[model] is state:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{model} is {self.scheduler.states()[model]}, not {state}")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.fleet.close()
    await asyncio.sleep(0)


async def use(stage: Stage, model: str, pid: int = 7) -> None:
    """One request from arrival to end, with the engine's process asking at the gate."""
    gate = asyncio.create_task(stage.fleet.ask_gate(model, pid))
    async with stage.fleet.lease(model) as leased:
        assert leased.name == model
    with suppress(asyncio.CancelledError):
        await gate


async def test_a_lease_starts_the_engine_and_is_counted_while_it_is_held(stage: Stage) -> None:
    async def engine() -> None:
        await stage.until("a", EngineState.STARTING)
        assert await stage.fleet.ask_gate("a", 7) == LAUNCH

    asking = asyncio.create_task(engine())
    async with stage.fleet.lease("a"):
        assert stage.leases("a") == 1
    assert stage.leases("a") == 0
    assert stage.lifecycle.done == ["start a", "launch a 7"]
    await asking


async def test_a_grant_and_a_cancellation_in_the_same_loop_step_leave_no_lease(stage: Stage) -> None:
    stage.lifecycle.found = ["a"]
    stage.lifecycle.ready.clear()
    await stage.fleet.adopt()

    async def hold() -> None:
        async with stage.fleet.lease("a"):
            await asyncio.sleep(3600)

    waiting = asyncio.create_task(hold())
    await asyncio.sleep(0)
    stage.fleet.feed(messages.EngineReady("a"))
    assert stage.leases("a") == 1, "granted: the future is done, its waiter has not run yet"
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stage.leases("a") == 0


async def test_a_failed_start_reaches_the_one_who_waits(stage: Stage) -> None:
    stage.lifecycle.start_error = EngineStartFailed("no program")
    with pytest.raises(EngineStartFailed, match="no program"):
        async with stage.fleet.lease("a"):
            pass


async def test_a_failed_preparation_reaches_the_client_and_the_process_at_the_gate(stage: Stage) -> None:
    stage.lifecycle.launch_error = EngineStartFailed("no weights")
    gate = asyncio.create_task(stage.fleet.ask_gate("a", 7))
    with pytest.raises(EngineStartFailed, match="no weights"):
        await gate
    with pytest.raises(EngineStartFailed, match="no weights"):
        async with stage.fleet.lease("a"):
            pass


async def test_a_process_that_supervisord_does_not_know_is_refused_and_changes_nothing(stage: Stage) -> None:
    with pytest.raises(GateRefused):
        await stage.fleet.ask_gate("a", -1)
    assert stage.scheduler.states()["a"] is EngineState.STOPPED


async def test_a_process_that_leaves_the_gate_frees_its_place(stage: Stage) -> None:
    stage.lifecycle.found = ["a"]
    await stage.fleet.adopt()
    await stage.until("a", EngineState.READY)
    async with stage.fleet.lease("a"):
        gate = asyncio.create_task(stage.fleet.ask_gate("b", 7))
        await stage.until("a", EngineState.DRAINING)
        gate.cancel()
        await stage.until("a", EngineState.READY)


async def test_an_old_process_leaving_does_not_take_the_new_ones_place(stage: Stage) -> None:
    stage.lifecycle.found = ["a"]
    await stage.fleet.adopt()
    await stage.until("a", EngineState.READY)
    async with stage.fleet.lease("a"):
        old = asyncio.create_task(stage.fleet.ask_gate("b", 7))
        await stage.until("a", EngineState.DRAINING)
        new = asyncio.create_task(stage.fleet.ask_gate("b", 8))
        await asyncio.sleep(0)
        old.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert stage.scheduler.states()["a"] is EngineState.DRAINING, "b is still wanted, by the new process"
    assert await new == LAUNCH
    assert "launch b 8" in stage.lifecycle.done


async def test_a_bug_in_a_command_ends_the_fleet_loudly(stage: Stage) -> None:
    stage.lifecycle.bug = ZeroDivisionError("a bug")
    running = asyncio.create_task(stage.fleet.run())
    waiting = asyncio.create_task(use(stage, "a"))
    stage.fleet.feed(messages.RequestArrived(999, "b"))
    with pytest.raises(ZeroDivisionError):
        await running
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


async def test_an_event_that_cannot_be_ends_the_fleet_loudly(stage: Stage) -> None:
    running = asyncio.create_task(stage.fleet.run())
    await asyncio.sleep(0)
    with pytest.raises(KeyError):
        stage.fleet.feed(messages.EngineStopped("a"))
    with pytest.raises(KeyError):
        await asyncio.wait_for(running, 5)


async def test_a_process_that_leaves_in_the_step_in_which_its_gate_opens_is_looked_for(stage: Stage) -> None:
    stage.lifecycle.prepared.clear()
    gate = asyncio.create_task(stage.fleet.ask_gate("a", 7))
    await stage.until("a", EngineState.STARTING)
    gate.cancel()
    await asyncio.sleep(0)
    stage.lifecycle.prepared.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert stage.lifecycle.done == ["launch a 7", "expect a"]


async def test_after_the_end_no_engine_is_started_or_stopped_for_those_who_are_sent_away(stage: Stage) -> None:
    stage.lifecycle.found = ["a"]
    await stage.fleet.adopt()
    await stage.until("a", EngineState.READY)

    async def wait_for_b() -> None:
        async with stage.fleet.lease("b"):
            raise AssertionError

    async with stage.fleet.lease("a"):
        waiting = asyncio.create_task(wait_for_b())
        await stage.until("a", EngineState.DRAINING)
        stage.fleet.close()
        with pytest.raises(ShuttingDown):
            await waiting
    await asyncio.sleep(0)
    assert stage.lifecycle.done == []


async def test_when_the_proxy_goes_away_those_who_wait_are_told_and_new_ones_are_refused(stage: Stage) -> None:
    stage.lifecycle.ready.clear()
    waiting = asyncio.create_task(use(stage, "a"))
    await stage.until("a", EngineState.STARTING)
    stage.fleet.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        async with stage.fleet.lease("a"):
            pass
