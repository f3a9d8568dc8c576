"""A start that fails where nothing was done plainly is answered by a plain one, for the same requests."""

from dataclasses import replace

import pytest

from proxy.core.diagnose import Diagnosis, Lasts
from proxy.core.errors import EngineStartFailed
from proxy.core.messages import (
    EngineDown,
    EngineReady,
    EngineStopped,
    GateAsked,
    GatePreparing,
    GateReached,
    Grant,
    Reject,
    RequestArrived,
    RequestEnded,
    StartEngine,
    StartFailed,
    StartHeard,
    StopAsked,
    StopEngine,
)
from proxy.core.methods import Method
from proxy.core.states import EngineState
from tests.core.world import LIMITS, SlowWorld


def started(method: Method) -> SlowWorld:
    world = SlowWorld(a=30, start_timeout_s=100)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    assert world.feed(GateReached("a", method)) == [world.opened("a")]
    return world


def down(lasts: Lasts = Lasts.UNKNOWN) -> EngineDown:
    return EngineDown("a", "exit status 1", diagnosis=Diagnosis("x", "Its log does not say why.", "Look there.", lasts))


@pytest.mark.parametrize("method", [Method.FORK, Method.SPAWN])
def test_the_request_gets_a_plain_start_and_the_model_stays_with_it(method: Method) -> None:
    world = started(method)
    assert world.feed(down()) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    assert world.scheduler.starts_plainly("a")
    world.feed(GateAsked("a"))
    assert world.feed(GateReached("a", Method.PLAIN)) == [world.opened("a")]
    assert world.feed(EngineReady("a")) == [Grant(1)]
    assert world.scheduler.costs("a").is_plain_only
    assert world.scheduler.learned_costs()["a"].is_plain_only, "it is kept for the next proxy"
    world.feed(RequestEnded(1), StopAsked("a", "by ann"), EngineStopped("a"))
    assert world.scheduler.starts_plainly("a")


def test_where_the_plain_one_fails_too_the_client_is_told_and_the_method_is_not_to_blame() -> None:
    world = started(Method.FORK)
    world.feed(down(), EngineStopped("a"), GateAsked("a"), GateReached("a", Method.PLAIN))
    reject, stop = world.feed(down())
    assert isinstance(reject, Reject)
    assert "a ended while starting" in reject.error.message
    assert stop == StopEngine("a", at_once=True)
    world.feed(EngineStopped("a"))
    assert world.state("a") is EngineState.FAILED
    assert not world.scheduler.starts_plainly("a")


@pytest.mark.parametrize("lasts", [Lasts.PASSING, Lasts.LASTING])
def test_a_cause_that_is_known_is_told_at_once(lasts: Lasts) -> None:
    reject, _ = started(Method.FORK).feed(down(lasts))
    assert isinstance(reject, Reject)


def test_a_plain_start_that_fails_is_told_at_once() -> None:
    reject, _ = started(Method.PLAIN).feed(down())
    assert isinstance(reject, Reject)


def test_one_that_hangs_is_given_up_while_there_is_time_for_a_plain_one() -> None:
    world = started(Method.FORK)
    assert world.feed(StartHeard("a", is_silent=True)) == []
    assert world.after(50) == []
    assert world.after(0.1) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    world = started(Method.PLAIN)
    assert world.after(60) == []


def test_one_that_still_says_something_is_only_slow() -> None:
    world = started(Method.FORK)
    world.feed(StartHeard("a", is_silent=True), StartHeard("a", is_silent=False))
    assert world.after(60) == []


def preparing(method: Method = Method.SPAWN) -> SlowWorld:
    world = SlowWorld(a=30, start_timeout_s=100)
    world.feed(RequestArrived(1, "a"), GatePreparing("a", method), GateAsked("a"))
    return world


def parked() -> SlowWorld:
    """Its process prepares while `b` makes room for it."""
    world = SlowWorld(a=30, b=30, start_timeout_s=100, limits=replace(LIMITS, overlap=True))
    world.feed(RequestArrived(1, "b"), GateAsked("b"), GateReached("b"), EngineReady("b"))
    world.feed(RequestArrived(2, "a"), GatePreparing("a", Method.SPAWN), GateAsked("a"))
    assert world.state("a") is EngineState.PARKED
    return world


def test_a_crash_as_it_prepares_is_answered_by_a_plain_start() -> None:
    world = preparing()
    assert world.feed(down()) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    assert world.scheduler.starts_plainly("a")
    world.feed(GatePreparing("a", Method.PLAIN), GateAsked("a"), GateReached("a", Method.PLAIN))
    assert world.feed(EngineReady("a")) == [Grant(1)]


def test_a_crash_of_one_that_has_nothing_to_prepare_is_told_at_once() -> None:
    reject, _ = preparing(Method.PLAIN).feed(down())
    assert isinstance(reject, Reject)


@pytest.mark.parametrize("is_parked", [False, True])
def test_one_that_hangs_as_it_prepares_is_given_up_while_there_is_time_for_a_plain_one(is_parked: bool) -> None:
    world = parked() if is_parked else preparing()
    assert world.after(50) == []
    assert world.after(0.1) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    assert world.scheduler.starts_plainly("a")
    assert "a did not come to the gate within 50 s" in str(world.scheduler.explain("a", world.now))


def test_one_that_waits_at_the_gate_does_not_hang() -> None:
    world = parked()
    world.feed(GateReached("a", Method.FORK))
    world.after(45)
    world.after(10)
    assert world.state("a") is EngineState.PARKED


def test_an_answer_to_the_probe_that_is_none_is_a_failure_like_others() -> None:
    world = started(Method.FORK)
    assert world.feed(StartFailed("a", EngineStartFailed("a is up, but does not answer"))) == [
        StopEngine("a", at_once=True)
    ]
    explained = world.scheduler.explain("a", world.now)
    assert "its start by fork failed, a plain one follows: a is up, but does not answer" in str(explained)
