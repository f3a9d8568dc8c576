"""Who waits, one by one, and how much longer, as far as that has been learned."""

from proxy.core.messages import EngineReady, GateAsked, GateReached, RequestArrived, RequestEnded
from proxy.core.roster import EngineNeeds
from proxy.core.terms import Terms
from proxy.core.waiters import MOST_TOLD, Waiter
from tests.core.world import CARD, SlowWorld, amounts


def world_of(concurrency: int) -> SlowWorld:
    world = SlowWorld()
    terms = Terms(concurrency=concurrency)
    world.set_up({CARD: 40}, {"a": EngineNeeds(amounts(30), ((CARD,),), 60, (), terms)})
    return world


def waiters(world: SlowWorld) -> tuple[Waiter, ...]:
    return world.scheduler.waiters(world.now).get("a", ())


def up(world: SlowWorld, ticket: int) -> None:
    """A start that took 20 s, of which the load took 15."""
    world.feed(RequestArrived(ticket, "a"), GateAsked("a"))
    world.after(5.0, GateReached("a"))
    world.after(15.0, EngineReady("a"))


def test_whose_request_it_is_is_told_with_its_wait_and_what_it_waits_for_at_most() -> None:
    world = world_of(1)
    world.feed(RequestArrived(1, "a", agent_type="Chat", key="desk", deadline_s=30.0))
    world.after(4.0)
    assert waiters(world) == (Waiter("Chat", "desk", False, 1.0, 4.0, 26.0, None),)


def test_where_nobody_waits_nobody_is_told_of() -> None:
    world = world_of(1)
    up(world, 1)
    assert world.scheduler.waiters(world.now) == {}


def test_a_start_that_has_been_seen_says_when_and_those_behind_wait_for_rounds() -> None:
    world = world_of(2)
    up(world, 1)
    world.after(6.0, RequestEnded(1))
    world.feed(RequestArrived(2, "a", keep_alive_s=0.0))
    world.after(6.0, RequestEnded(2))
    assert [one.served_in_s for one in waiters(world)] == []
    world = world_of(2)
    up(world, 1)
    world.feed(*(RequestArrived(ticket, "a") for ticket in (2, 3, 4, 5)))
    world.after(6.0, RequestEnded(1))  # a request takes 6 s, as far as is known, and two are served at once
    told = waiters(world)
    assert [one.served_in_s for one in told] == [3.0, 6.0], "one of the two has its turn when the first of them ends"
    assert [one.waited_s for one in told] == [6.0, 6.0]


def test_of_very_many_the_first_are_told() -> None:
    world = world_of(1)
    world.feed(*(RequestArrived(ticket, "a") for ticket in range(1, MOST_TOLD + 20)))
    assert len(waiters(world)) == MOST_TOLD


def test_a_person_who_waits_for_the_engine_is_told_apart() -> None:
    world = world_of(1)
    world.feed(RequestArrived(1, "a", by_hand="by ann"))
    [one] = waiters(world)
    assert one.is_by_hand
