"""How soon a request can be served, by what has been learned here; and nothing where nothing has."""

from proxy.core.estimates import next_turn_s, served_in_s
from proxy.core.messages import (
    EngineReady,
    EngineStopped,
    GateAsked,
    GateReached,
    PhaseBegun,
    RequestArrived,
    RequestEnded,
    StopAsked,
)
from tests.core.world import SlowWorld


def expected_s(world: SlowWorld, model: str) -> float | None:
    board = world.scheduler._board
    return served_in_s(board, board.engines[model], 1.0, world.now)


def test_what_has_not_happened_here_is_not_known() -> None:
    world = SlowWorld(a=30)
    assert expected_s(world, "a") is None
    world.feed(RequestArrived(1, "a"))
    assert expected_s(world, "a") is None


def test_a_ready_engine_serves_at_once_and_a_start_takes_what_it_took_less_what_has_passed() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    world.after(5.0, GateReached("a"))
    world.after(15.0, EngineReady("a"))
    assert expected_s(world, "a") == 0.0
    world.feed(RequestEnded(1), RequestArrived(2, "a", keep_alive_s=0.0), RequestEnded(2))
    assert expected_s(world, "a") is None, "it is stopping: when it can come back is not known"
    world.feed(EngineStopped("a"))
    assert expected_s(world, "a") == 20.0
    world.feed(RequestArrived(3, "a"))
    world.after(4.0)
    assert expected_s(world, "a") == 16.0
    world.after(2.0, GateAsked("a"))
    world.after(0.0, GateReached("a"))
    world.after(10.0)
    # The load took 15 s the first time, and 10 s of it have passed.
    assert expected_s(world, "a") == 5.0


def test_at_a_full_engine_those_before_one_are_served_first() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    engine = world.scheduler._board.engines["a"]
    assert next_turn_s(engine) is None
    world.after(8.0, RequestEnded(1))
    assert next_turn_s(engine) == 8.0 / engine.needs.terms.concurrency


def test_what_is_left_of_a_start_follows_from_the_phase_that_it_is_in() -> None:
    world = SlowWorld(a=30, start_timeout_s=1000)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"))
    world.after(100.0, EngineReady("a", {"config": 10.0, "weights": 60.0, "server": 30.0}))
    world.feed(RequestEnded(1), StopAsked("a", "by ann"), EngineStopped("a"))
    world.feed(RequestArrived(2, "a", by_hand="by ann"), GateAsked("a"), GateReached("a"))
    world.after(50.0, PhaseBegun("a", "weights"))  # slower than the last time, and that is known
    assert world.scheduler.outlook("a", world.now) == "waiting for a: starting, about 90 s left"
    world.now += 20.0
    assert world.scheduler.outlook("a", world.now) == "waiting for a: starting, about 70 s left"
    world.now += 100.0
    assert world.scheduler.outlook("a", world.now) == "waiting for a: starting, about 30 s left"
    world.feed(PhaseBegun("a", "graphs"))
    assert world.scheduler.outlook("a", world.now) == "waiting for a: starting, about 1 s left", "by the whole"
