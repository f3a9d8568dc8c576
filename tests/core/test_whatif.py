"""What if these models were up together: where, who would leave, how long; and nothing is done."""

from dataclasses import replace

from proxy.core.devices import Strangers
from proxy.core.messages import EngineReady, GateAsked, GateReached, RequestArrived, RequestEnded, StrangersSeen
from proxy.core.roster import EngineNeeds
from proxy.core.terms import Terms
from proxy.core.whatif import WhatIf
from tests.core.world import LIMITS, SlowWorld, amounts, gib, needs

CARDS = {"x": 24.0, "y": 12.0}


def world_of(**models: EngineNeeds) -> SlowWorld:
    world = SlowWorld()
    world.set_up(CARDS, models, LIMITS)
    return world


def one(gib_: float, *on: str, pinned: bool = False) -> EngineNeeds:
    return replace(needs(amounts(gib_), {name: CARDS[name] for name in on or CARDS}), terms=Terms(is_pinned=pinned))


def ask(world: SlowWorld, *models: str) -> WhatIf:
    before = repr(world.scheduler)
    told = world.scheduler.what_if(models, world.now)
    assert repr(world.scheduler) == before, "nothing is done"
    assert [seat.model for seat in told.seats] == list(models)
    return told


def bring_up(world: SlowWorld, model: str, ticket: int, takes_s: float = 20.0) -> None:
    world.feed(RequestArrived(ticket, model), GateAsked(model), GateReached(model))
    world.after(takes_s, EngineReady(model))
    world.feed(RequestEnded(ticket))


def test_two_that_fit_are_given_their_devices_one_after_the_other_where_they_share_one() -> None:
    told = ask(world_of(a=one(12, "x"), b=one(12, "x"), c=one(10)), "a", "b", "c")
    assert told.fits
    assert [seat.devices for seat in told.seats] == [("x",), ("x",), ("y",)]
    assert sorted(seat.ready_in_s for seat in told.seats) == [60.0, 60.0, 120.0], "a start takes 60 s by the prior"
    assert told.ready_in_s == 120.0
    assert not told.seats[0].is_learned


def test_an_order_is_found_in_which_all_fit_although_the_first_takes_anothers_only_place() -> None:
    """Where each fits anywhere the larger is placed first; the one that may run on x only must have it."""
    told = ask(world_of(a=one(11, "x"), b=one(12), c=one(13, "x")), "b", "a", "c")
    assert told.fits
    assert {seat.model: seat.devices for seat in told.seats} == {"a": ("x",), "b": ("y",), "c": ("x",)}


def test_who_is_there_stays_and_who_is_in_the_way_would_leave() -> None:
    world = world_of(a=one(14, "x"), b=one(14, "x"), c=one(10, "x"))
    bring_up(world, "a", 1)
    bring_up(world, "c", 2)
    told = ask(world, "c", "b")
    assert told.fits
    assert (told.seats[0].ready_in_s, told.seats[0].devices) == (0.0, ("x",))
    [leaving] = told.seats[1].leaving
    assert (leaving.model, leaving.how, leaving.frees_bytes) == ("a", "stop", gib(14))
    assert told.seats[1].ready_in_s == 63.0, "its stop takes 3 s and a start 60 s, by the priors"


def test_what_was_learned_here_is_used_and_said() -> None:
    world = world_of(a=one(14, "x"), b=one(14, "x"))
    bring_up(world, "a", 1, takes_s=7.0)
    assert ask(world, "a").seats[0].is_learned
    bring_up(world, "b", 2) if world.state("b") == "ready" else None
    assert ask(world, "b").seats[0].ready_in_s == 63.0
    assert not ask(world, "b").seats[0].is_learned


def test_those_that_do_not_fit_together_say_so_each() -> None:
    told = ask(world_of(a=one(14, "x"), b=one(14, "x")), "a", "b")
    assert not told.fits
    assert [seat.why_not for seat in told.seats] == [
        None,
        "it does not fit beside the others: it needs 14.00 GiB, and x has 24.00 GiB, y has 12.00 GiB for all models",
    ]
    too_large = ask(world_of(a=one(30)), "a")
    assert "a needs 30.00 GiB, and it fits nowhere" in (too_large.seats[0].why_not or "")


def test_strangers_and_pinned_engines_are_in_the_way_and_are_named() -> None:
    world = world_of(a=one(20, "x"), b=one(10, "x", pinned=True))
    bring_up(world, "b", 1)
    told = ask(world, "a")
    assert not told.fits
    assert "b (pinned) 10.00" in (told.seats[0].why_not or "")
    world = world_of(a=one(20, "x"))
    world.feed(StrangersSeen({"x": Strangers(gib(8))}))
    assert "others hold what it needs" in (ask(world, "a").seats[0].why_not or "")
