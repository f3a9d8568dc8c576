"""Why an engine is where it is: in words, with figures."""

import re

from proxy.core.costs import Costs
from proxy.core.messages import (
    EngineReady,
    EngineStopped,
    GateAsked,
    GateReached,
    ModelSet,
    RequestArrived,
    RequestEnded,
)
from proxy.core.states import EngineState
from tests.core.world import CARD, SlowWorld, World, amounts, needs


def busy_world() -> SlowWorld:
    """a is ready and serves; a request for b waits since 0 s."""
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"), RequestArrived(2, "b"))
    return world


def test_a_swap_that_is_not_worth_it_yet_says_what_it_would_cost_and_when_it_begins() -> None:
    world = busy_world()
    world.after(2.0)
    assert world.state("a") is EngineState.READY
    why = world.scheduler.explain("b", world.now).waits_for
    assert why is not None
    assert re.fullmatch(
        r"its oldest request has waited 2\.0 s; a would have to make room, which is not worth it yet "
        r"\(in squared waits, a minute more costs \d+ s² and the swap \d+ s²\); at the latest in 48 s",
        why,
    )


def test_a_swap_says_for_both_sides_who_left_for_whom_and_why() -> None:
    world = busy_world()
    world.after(60.0, RequestEnded(1))
    for model in ("a", "b"):
        told = [one for one in world.scheduler.explain(model, world.now).log if one.what == "ready -> draining"]
        [one] = told
        assert one.model == "a"
        assert re.fullmatch(
            r"(idle 0 s|1 requests in hand), frees 30\.00 GiB for b: its oldest request has waited (50|60)\.\d s; "
            r"a, \d+\.\d requests a minute, is back in \d+ s when wanted; it could wait no longer "
            r"\(max_wait_s, or a deadline\); in squared waits, a minute more costs \d+ s² and the swap \d+ s²",
            one.why,
        ), one.why
    why = world.scheduler.explain("b", world.now).waits_for
    assert why == "its oldest request has waited 60.0 s; room is being made for it: a is stopping" or (
        why is not None and "next on card" in why
    )
    world.feed(EngineStopped("a"))
    started = world.scheduler.explain("b", world.now)
    assert started.why == "its oldest request has waited 60.0 s; 40.00 GiB are free on card"
    assert started.state is EngineState.STARTING


def test_grants_and_what_acts_are_expected_to_take_are_told() -> None:
    world = SlowWorld(a=30)
    before = world.scheduler.explain("a", world.now)
    assert (before.expected.is_learned, before.expected.start_s, before.log) == (False, 60.0, ())
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    world.after(5.0, GateReached("a"))
    world.after(5.0, EngineReady("a"))
    after = world.scheduler.explain("a", world.now)
    assert (after.expected.is_learned, after.expected.start_s) == (True, 10.0)
    assert after.log[0].what == "grant"
    assert after.log[0].why == "ticket 1 had waited 10.0 s; it is served alone"
    assert after.waits_for is None


def test_one_that_serves_as_many_as_it_can_says_so() -> None:
    world = SlowWorld(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), EngineReady("a"))
    engine = world.scheduler._board.engines["a"]
    engine.needs = type(engine.needs)(
        engine.needs.amounts, engine.needs.choices, 60, terms=type(engine.needs.terms)(concurrency=1)
    )
    world.feed(RequestArrived(2, "a"))
    why = world.scheduler.explain("a", world.now).waits_for
    assert why == "it serves 1 requests at once, which is all that it takes (concurrency)"


def test_a_start_that_is_under_way_waits_for_nobody() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    assert world.scheduler.explain("a", world.now).waits_for is None


def test_an_engine_whose_entry_has_changed_is_said_to_go_first() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"))
    world.feed(ModelSet("a", needs(amounts(20), {CARD: 40}), Costs(), is_same_launch=False), RequestArrived(2, "a"))
    waits_for = world.scheduler.explain("a", world.now).waits_for
    assert waits_for == "it runs by an entry that the catalog has not any more: it goes first"
