"""The shell around the scheduler, with a lifecycle that does what the test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.render import Launch
from catalog.spec import AgentRoute, Agents, Catalog, Gib, ModelSpec
from proxy.core import messages
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.errors import CannotSleep, EngineStartFailed, GateRefused, ShuttingDown, StoppedByHand
from proxy.core.figures import Figures
from proxy.core.messages import Event
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.states import EngineState
from proxy.fleet import Fleet

LAUNCH = Launch(["vllm"], {})
TAKEN = Amounts(30, 30, 5, 25)


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
        self.found: list[messages.EngineFound] = []
        self.prepared = asyncio.Event()
        self.prepared.set()
        self.ready = asyncio.Event()
        self.ready.set()
        self.bug: Exception | None = None

    async def start(self, model: str) -> list[Event]:
        self.done.append(f"start {model}")
        if self.bug:
            raise self.bug
        return [messages.StartFailed(model, self.start_error)] if self.start_error else []

    async def check_asker(self, model: str, pid: int) -> None:
        if pid < 0:
            raise GateRefused("not supervisord's")

    async def launch(self, model: str, pid: int, devices: tuple[str, ...], awake_bytes: int) -> Launch:
        self.done.append(f"launch {model} {pid}")
        await self.prepared.wait()
        if self.launch_error:
            raise self.launch_error
        return LAUNCH

    async def wait_ready(self, model: str) -> list[Event]:
        await self.ready.wait()
        return [messages.EngineReady(model)]

    async def sleep(self, model: str, level: int) -> list[Event]:
        self.done.append(f"sleep {model} {level}")
        return [messages.EngineAsleep(model)]

    async def wake(self, model: str, level: int) -> list[Event]:
        self.done.append(f"wake {model} {level}")
        await self.ready.wait()
        return [messages.EngineReady(model)]

    async def stop(self, model: str, at_once: bool = False) -> list[Event]:
        self.done.append(f"stop {model}{' at once' if at_once else ''}")
        return [messages.EngineStopped(model)]

    async def adopt(self) -> list[messages.EngineFound]:
        return self.found

    def expect(self, model: str) -> None:
        self.done.append(f"expect {model}")


class FakeWatch:
    """Sees what the test tells it to."""

    def __init__(self) -> None:
        self.notice: Callable[[], None] | None = None
        self.seen: list[Event] = []
        self.pulses: list[tuple[set[str], list[str]]] = []
        self.is_closed = False

    async def look(self, states: object) -> list[Event]:
        seen, self.seen = self.seen, []
        return seen

    async def take_pulse(self, states: object, busy: set[str], owed: list[str]) -> list[Event]:
        self.pulses.append((set(busy), owed))
        return []

    def close(self) -> None:
        self.is_closed = True


class FakeMemory:
    async def look(self, states: object, placings: object) -> list[Event]:
        return []

    def held_bytes(self, model: str) -> dict[str, int]:
        return {"card": 7} if model == "a" else {}

    def declared(self, model: str) -> Amounts:
        return TAKEN

    def learned(self, model: str) -> Figures:
        return Figures(awake_bytes=29)


class FakeStops:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        return self.kept

    def write(self, value: dict[str, str]) -> bool:
        self.kept = dict(value)
        return True


class Stage:
    def __init__(self, levels: tuple[int, ...] = ()) -> None:
        models = {name: spec(name) for name in ("a", "b")}
        routes = {name.upper(): AgentRoute(model=name) for name in models}
        catalog = Catalog(folder=Path("c"), models=models, agents=Agents(agent_types=routes))
        needs = {name: EngineNeeds(TAKEN, (("card",),), 60, levels) for name in models}
        self.devices = (Device("card", "gpu0", DeviceKind.NVIDIA, 40, 40),)
        self.scheduler = Scheduler(self.devices, needs, host_bytes=100)
        self.lifecycle, self.watch, self.memory, self.stops = FakeLifecycle(), FakeWatch(), FakeMemory(), FakeStops()
        self.fleet = Fleet(
            catalog=catalog,
            scheduler=self.scheduler,
            lifecycle=self.lifecycle,  # type: ignore[arg-type]
            watch=self.watch,  # type: ignore[arg-type]
            memory=self.memory,  # type: ignore[arg-type]
            stops=self.stops,  # type: ignore[arg-type]
            poll_interval_s=0.01,
        )

    async def found(self, model: str, sleep_level: int | None = None) -> None:
        """An engine that ran before the fleet did."""
        self.lifecycle.found = [messages.EngineFound(model, ("card",), sleep_level)]
        await self.fleet.adopt()

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
    stage.lifecycle.ready.clear()
    await stage.found("a")

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
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    async with stage.fleet.lease("a"):
        gate = asyncio.create_task(stage.fleet.ask_gate("b", 7))
        await stage.until("a", EngineState.DRAINING)
        gate.cancel()
        await stage.until("a", EngineState.READY)


async def test_an_old_process_leaving_does_not_take_the_new_ones_place(stage: Stage) -> None:
    await stage.found("a")
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
        stage.fleet.feed(messages.RequestArrived(1, "no such model"))
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
    await stage.found("a")
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


async def test_what_a_person_stopped_is_kept_for_the_next_life_until_a_person_starts_it(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet.stop("a", "by ann")
    assert stage.stops.kept == {"a": "by ann"}
    stage.fleet.feed(messages.RequestArrived(1000, "a", by_hand="by ann"))
    assert stage.stops.kept == {}


async def test_what_was_kept_is_remembered_in_the_next_life(stage: Stage) -> None:
    stage.stops.kept = {"b": "by ann", "gone": "by bob"}
    await stage.fleet.adopt()
    with pytest.raises(StoppedByHand, match="by ann"):
        async with stage.fleet.lease("b"):
            pass


async def test_an_engine_is_put_to_sleep_and_woken_for_a_request() -> None:
    stage = Stage(levels=(1,))
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet.sleep("a", 1, "by ann")
    await stage.until("a", EngineState.ASLEEP)
    async with stage.fleet.lease("a"):
        pass
    assert stage.lifecycle.done == ["sleep a 1", "wake a 1"]
    stage.fleet.close()


async def test_a_sleep_that_cannot_be_is_an_error_and_nothing_happens(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    with pytest.raises(CannotSleep, match="Its levels: none"):
        stage.fleet.sleep("a", 1, "by ann")
    assert stage.scheduler.states()["a"] is EngineState.READY


async def test_one_that_sleeps_already_is_adopted_asleep_and_not_waited_for(stage: Stage) -> None:
    stage.lifecycle.ready.clear()
    await stage.found("a", sleep_level=2)
    assert stage.scheduler.states()["a"] is EngineState.ASLEEP


async def test_a_stop_cuts_a_wake_short(stage: Stage) -> None:
    await stage.found("a", sleep_level=1)
    stage.lifecycle.ready.clear()

    async def want() -> None:
        async with stage.fleet.lease("a"):
            raise AssertionError

    waiting = asyncio.create_task(want())
    await stage.until("a", EngineState.WAKING)
    stage.fleet.stop("a", "by ann")
    with pytest.raises(StoppedByHand):
        await waiting
    await stage.until("a", EngineState.STOPPED)
    stage.lifecycle.ready.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert stage.scheduler.states()["a"] is EngineState.STOPPED, "the wake's word was not heard any more"


async def test_an_engine_that_refuses_a_connection_is_broken(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet.refused("a")
    await stage.until("a", EngineState.STOPPED)
    assert stage.lifecycle.done == ["stop a at once"]


async def test_who_is_owed_an_answer_is_told_to_the_pulse(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    async with stage.fleet.lease("a"):
        with stage.fleet.owing("a"):
            await stage.fleet._take_pulse()
        await stage.fleet._take_pulse()
    await stage.fleet._take_pulse()
    assert stage.watch.pulses == [({"a"}, ["a"]), ({"a"}, []), (set(), [])]


async def test_what_the_watch_sees_is_fed_at_once_when_it_gives_notice(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet._poll_interval_s = 3600
    running = asyncio.create_task(stage.fleet.run())
    for _ in range(10):
        await asyncio.sleep(0)
    stage.watch.seen = [messages.EngineDown("a", "its API server, pid 1, ended")]
    assert stage.watch.notice is not None
    stage.watch.notice()
    await stage.until("a", EngineState.STOPPED)
    assert stage.lifecycle.done == ["stop a at once"]
    running.cancel()
