from proxy.core import messages
from proxy.core.costs import Costs
from tests.core.world import World


def test_who_waits_is_told_where_the_engine_stands_and_nothing_is_guessed() -> None:
    world = World(a=30, b=30)
    assert world.scheduler.outlook("a", 0.0) == "waiting for a: stopped, room is being made"
    world.feed(messages.RequestArrived(1, "a"), messages.GateAsked("a"))
    assert world.scheduler.outlook("a", 0.0) == "waiting for a: starting"
    assert world.scheduler.outlook("nobody", 0.0) == "waiting for nobody"


def test_how_long_it_still_takes_is_said_once_it_has_been_learned_here() -> None:
    world = World(a=30)
    costs = Costs()
    costs.note_prepare(4.0)
    costs.note_load(16.0)
    world.feed(messages.CostsRemembered("a", costs))
    world.feed(messages.RequestArrived(1, "a"), messages.GateAsked("a"))
    assert world.scheduler.outlook("a", 2.0) == "waiting for a: starting, about 14 s left"
    assert world.scheduler.outlook("a", 60.0).startswith("waiting for a: starting, about ")
