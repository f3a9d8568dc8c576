"""Leases that are had at once; those that are waited for are in test_fleet."""

import pytest

from proxy.core.errors import EngineNotUp, ShuttingDown, StoppedByHand
from proxy.core.states import EngineState, Swap
from proxy.core.wishes import Wishes
from tests.fleet_stage import Stage


async def test_a_lease_of_a_ready_engine_is_had_without_waiting_and_counted() -> None:
    stage = Stage()
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    lease = stage.fleet.leases.take_now("a")
    assert lease is not None
    assert (lease.spec.name, lease.waited_s, lease.swap) == ("a", 0.0, Swap.NONE)
    assert stage.leases("a") == 1
    stage.fleet.leases.end(lease)
    assert stage.leases("a") == 0


async def test_what_is_not_ready_is_not_had_at_once() -> None:
    stage = Stage()
    assert stage.fleet.leases.take_now("a") is None
    assert stage.leases("a") == 0


async def test_who_only_looks_needs_an_engine_that_serves_and_counts_as_no_use_of_it() -> None:
    stage = Stage()
    with pytest.raises(EngineNotUp):
        stage.fleet.leases.look("a")
    assert not stage.fleet.leases.is_ready("a")
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    assert stage.fleet.leases.is_ready("a")
    lease = stage.fleet.leases.look("a")
    assert (lease.spec.name, lease.swap) == ("a", Swap.NONE)
    assert stage.leases("a") == 0


async def test_who_waits_is_told_so_and_who_does_not_or_is_refused_is_not() -> None:
    stage = Stage(levels=(1,))
    told: list[str] = []
    await stage.found("a", sleep_level=1)
    async with stage.fleet.leases.take("a", on_wait=lambda: told.append("waits")):
        assert told == ["waits"]
    async with stage.fleet.leases.take("a", on_wait=lambda: told.append("waits again")):
        pass
    stage.fleet.stop("a", "by ann")
    with pytest.raises(StoppedByHand):
        async with stage.fleet.leases.take("a", on_wait=lambda: told.append("refused")):
            pass
    assert told == ["waits"]


async def test_a_request_that_wants_its_engine_gone_has_it_stopped_at_its_end() -> None:
    stage = Stage()
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    lease = stage.fleet.leases.take_now("a", Wishes(keep_alive_s=0.0))
    assert lease is not None
    stage.fleet.leases.end(lease)
    await stage.until("a", EngineState.STOPPED)


async def test_a_lease_tells_what_the_engine_had_to_do_for_it() -> None:
    stage = Stage(levels=(1,))
    await stage.found("a", sleep_level=1)
    async with stage.fleet.leases.take("a") as lease:
        assert lease.swap is Swap.WAKE
        assert lease.waited_s >= 0
    async with stage.fleet.leases.take("a") as lease:
        assert lease.swap is Swap.NONE


async def test_nobody_is_taken_in_any_more_once_it_closes() -> None:
    stage = Stage()
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    stage.fleet.close()
    assert stage.fleet.leases.take_now("a") is None
    with pytest.raises(ShuttingDown):
        async with stage.fleet.leases.take("a"):
            pass
