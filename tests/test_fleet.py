"""The shell around the scheduler, with a lifecycle that does what the test tells it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from proxy.core import messages
from proxy.core.errors import CannotSleep, EngineStartFailed, GateRefused, ShuttingDown, StoppedByHand, WeightsMissing
from proxy.core.states import EngineState
from tests.fleet_stage import LAUNCH, UNKNOWN_PID, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.fleet.close()
    await asyncio.sleep(0)


async def use(stage: Stage, model: str, pid: int = 7) -> None:
    """One request from arrival to end, with the engine's process asking at the gate."""
    gate = asyncio.create_task(stage.ask_gate(model, pid))
    async with stage.fleet.leases.take(model) as leased:
        assert leased.spec.name == model
    with suppress(asyncio.CancelledError):
        await gate


async def test_a_lease_starts_the_engine_and_is_counted_while_it_is_held(stage: Stage) -> None:
    async def engine() -> None:
        await stage.until("a", EngineState.STARTING)
        assert await stage.ask_gate("a", 7) == LAUNCH

    asking = asyncio.create_task(engine())
    async with stage.fleet.leases.take("a"):
        assert stage.leases("a") == 1
    assert stage.leases("a") == 0
    assert stage.lifecycle.done == ["start a", "launch a 7"]
    await asking


async def test_a_grant_and_a_cancellation_in_the_same_loop_step_leave_no_lease(stage: Stage) -> None:
    stage.lifecycle.ready.clear()
    await stage.found("a")

    async def hold() -> None:
        async with stage.fleet.leases.take("a"):
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
        async with stage.fleet.leases.take("a"):
            pass


async def test_a_failed_preparation_reaches_the_client_and_the_process_at_the_gate(stage: Stage) -> None:
    stage.lifecycle.launch_error = EngineStartFailed("no weights")
    gate = asyncio.create_task(stage.ask_gate("a", 7))
    with pytest.raises(EngineStartFailed, match="no weights"):
        await gate
    with pytest.raises(EngineStartFailed, match="no weights"):
        async with stage.fleet.leases.take("a"):
            pass


async def test_a_process_that_supervisord_does_not_know_is_refused_and_changes_nothing(stage: Stage) -> None:
    with pytest.raises(GateRefused):
        await stage.ask_gate("a", UNKNOWN_PID)
    assert stage.scheduler.states()["a"] is EngineState.STOPPED


async def test_a_process_that_leaves_the_gate_frees_its_place(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    async with stage.fleet.leases.take("a"):
        gate = asyncio.create_task(stage.ask_gate("b", 7))
        await stage.until("a", EngineState.DRAINING)
        gate.cancel()
        await stage.until("a", EngineState.READY)


async def test_an_old_process_leaving_does_not_take_the_new_ones_place(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    async with stage.fleet.leases.take("a"):
        old = asyncio.create_task(stage.ask_gate("b", 7))
        await stage.until("a", EngineState.DRAINING)
        new = asyncio.create_task(stage.ask_gate("b", 8))
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


async def test_a_parked_process_whose_vllm_was_installed_anew_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[list[str]] = []

    async def look(parked: list[str]) -> list[messages.Event]:
        looked.append(parked)
        return [messages.VllmChanged(model) for model in parked]

    monkeypatch.setattr(stage.fleet._upgrades, "look", look)
    board = stage.scheduler._board
    board.limits = replace(board.limits, parks=True)
    board.park(board.engines["a"], 0.0, "for the test", is_ahead=True)
    await stage.fleet._look_at_vllm()
    await stage.until("a", EngineState.STOPPED)
    assert looked == [["a"]]


async def test_an_event_that_cannot_be_ends_the_fleet_loudly(stage: Stage) -> None:
    running = asyncio.create_task(stage.fleet.run())
    await asyncio.sleep(0)
    with pytest.raises(KeyError):
        stage.fleet.feed(messages.RequestArrived(1, "no such model"))
    with pytest.raises(KeyError):
        await asyncio.wait_for(running, 5)


async def test_a_process_that_leaves_in_the_step_in_which_its_gate_opens_is_looked_for(stage: Stage) -> None:
    stage.lifecycle.prepared.clear()
    gate = asyncio.create_task(stage.ask_gate("a", 7))
    await stage.until("a", EngineState.STARTING)
    gate.cancel()
    await asyncio.sleep(0)
    stage.lifecycle.prepared.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert stage.lifecycle.done == ["launch a 7", "expect a", "expect a"], "by who left, and by who found nobody"


async def test_after_the_end_no_engine_is_started_or_stopped_for_those_who_are_sent_away(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)

    async def wait_for_b() -> None:
        async with stage.fleet.leases.take("b", by_hand="by ann"):
            raise AssertionError

    async with stage.fleet.leases.take("a"):
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
        async with stage.fleet.leases.take("a"):
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
        async with stage.fleet.leases.take("b"):
            pass


async def test_an_engine_is_put_to_sleep_and_woken_for_a_request() -> None:
    stage = Stage(levels=(1,))
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet.sleep("a", 1, "by ann")
    await stage.until("a", EngineState.ASLEEP)
    async with stage.fleet.leases.take("a"):
        pass
    assert stage.lifecycle.done == ["sleep a 1", "wake a 1"]
    stage.fleet.close()


async def test_a_sleep_that_cannot_be_is_an_error_and_nothing_happens(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    with pytest.raises(CannotSleep, match="a cannot sleep: sleep_levels in its file is"):
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
        async with stage.fleet.leases.take("a"):
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
    await asyncio.gather(*(stage.fleet.refused("a") for _ in range(3)))
    await stage.until("a", EngineState.STOPPED)
    assert stage.lifecycle.done == ["stop a at once"]
    assert stage.watch.looks == 1


async def test_an_engine_that_refuses_a_connection_since_a_person_stops_it_is_not(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.watch.seen = [messages.EngineDown("a", "supervisord says STOPPING", by_hand="with supervisorctl")]
    await stage.fleet.refused("a")
    await stage.until("a", EngineState.STOPPED)
    assert stage.lifecycle.done == ["stop a"]
    assert stage.scheduler.stopped_by_hand() == {"a": "with supervisorctl"}
    assert stage.fleet.view()[0].crashes == 0


async def test_who_is_owed_an_answer_is_told_to_the_pulse(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    async with stage.fleet.leases.take("a"):
        stage.fleet.leases.owed["a"] += 1
        await stage.fleet._take_pulse()
        stage.fleet.leases.owed["a"] -= 1
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


async def test_nobody_makes_room_for_a_model_that_has_no_weights(stage: Stage) -> None:
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.lifecycle.missing = WeightsMissing("b's weights are missing")
    with pytest.raises(WeightsMissing):
        async with stage.fleet.leases.take("b"):
            pass
    assert stage.scheduler.states()["a"] is EngineState.READY
    async with stage.fleet.leases.take("a"):  # it is up: what it was started from is not asked for again
        pass
