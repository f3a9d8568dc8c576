"""How models are to be treated, as playbooks: events on one side and commands on the other."""

from dataclasses import replace
from math import inf

from proxy.core.diagnose import Lasts
from proxy.core.errors import EngineStartFailed, WaitedTooLong
from proxy.core.limits import Limits
from proxy.core.messages import (
    EngineReady,
    EngineStopped,
    GateAsked,
    Grant,
    Reject,
    RequestArrived,
    RequestEnded,
    StartEngine,
    StartFailed,
    StopAsked,
    StopEngine,
    Tick,
)
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, LIMITS, World, amounts, needs

CARD_ONLY = {CARD: 40.0}


def stage(limits: Limits = LIMITS, *, size: float = 30, **terms: Terms) -> World:
    """Models of 30 GiB, of which the card takes one at a time."""
    world = World()
    models = {model: replace(needs(amounts(size), CARD_ONLY), terms=each) for model, each in terms.items()}
    world.set_up(CARD_ONLY, models, limits)
    return world


def up(world: World, model: str) -> None:
    """Up, and idle: its start took what a start takes."""
    world.feed(RequestArrived(900, model), GateAsked(model))
    world.after(40, EngineReady(model))
    world.feed(RequestEnded(900))


def preload(world: World, model: str) -> None:
    engine = world.scheduler._board.engines[model]
    engine.preload_until = inf
    world.scheduler._board.note_demand(engine)


# --- concurrency and priority -------------------------------------------------------------------------------------


def test_no_more_requests_are_served_at_once_than_the_model_takes() -> None:
    world = stage(a=Terms(concurrency=2))
    world.feed(*(RequestArrived(ticket, "a") for ticket in (1, 2, 3, 4)))
    assert world.feed(EngineReady("a")) == [Grant(1), Grant(2)]
    assert world.feed(RequestArrived(5, "a")) == []
    assert world.feed(RequestEnded(2)) == [Grant(3)]
    assert world.feed(RequestEnded(4)) == [], "it only waited: no place became free"
    assert world.feed(RequestEnded(1)) == [Grant(5)]


def test_who_counts_for_more_is_served_first_and_who_has_waited_long_before_it() -> None:
    world = stage(a=Terms(concurrency=1))
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "a"), RequestArrived(3, "a", priority=5.0))
    assert world.feed(RequestEnded(1)) == [Grant(3)]
    world.after(20, RequestArrived(4, "a", priority=5.0))
    assert world.feed(RequestEnded(3)) == [Grant(2)]


def test_a_request_weighs_its_own_priority_times_its_models() -> None:
    world = stage(a=Terms(priority=3.0))
    world.feed(RequestArrived(1, "a", priority=2.0))
    oldest = world.scheduler._board.engines["a"].queue.oldest
    assert oldest is not None
    assert oldest.priority == 6.0


def test_where_requests_wait_for_a_place_their_engine_is_not_given_up_for_who_came_later() -> None:
    world = stage(replace(LIMITS, max_wait_s=30), a=Terms(concurrency=1), b=Terms())
    up(world, "a")
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "a"), RequestArrived(3, "b"))
    world.after(59)
    assert world.state("a") is EngineState.READY, "b is due, but no more than somebody at a"
    assert world.feed(RequestEnded(1)) == [Grant(2)]
    assert world.state("a") is EngineState.DRAINING


def test_an_overload_of_one_model_does_not_starve_the_others() -> None:
    """a gets twice what it can serve, and has been up for long; b waits for twice the longest wait, and no longer."""
    world = stage(replace(LIMITS, queue_timeout_s=1000), a=Terms(concurrency=1), b=Terms())
    up(world, "a")
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "a"))
    ticket = 2

    def ten_seconds_of_a() -> None:
        nonlocal ticket
        for _ in range(2):
            ticket += 1
            world.after(5, RequestArrived(ticket, "a"))
        world.feed(RequestEnded((ticket - 2) // 2), Tick())

    for _ in range(50):
        ten_seconds_of_a()
    b_came_at = world.now
    world.feed(RequestArrived(1000, "b"))
    while world.state("a") is EngineState.READY:
        assert world.now - b_came_at < 3 * LIMITS.max_wait_s
        ten_seconds_of_a()
    assert 2 * LIMITS.max_wait_s <= world.now - b_came_at <= 2 * LIMITS.max_wait_s + 10


def test_who_has_left_for_another_does_not_come_back_before_it() -> None:
    """b is due, a drains and stops for it; meanwhile far more wait for a."""
    world = stage(a=Terms(concurrency=1), b=Terms())
    up(world, "a")
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "b"))
    world.after(LIMITS.max_wait_s)
    assert world.state("a") is EngineState.DRAINING
    for ticket in range(10, 30):
        world.feed(RequestArrived(ticket, "a"))
    assert world.after(1, RequestEnded(1)) == [StopEngine("a")]
    world.after(2)
    assert world.feed(EngineStopped("a")) == [StartEngine("b")]


def test_a_client_that_gives_up_sooner_is_served_sooner_if_that_can_be() -> None:
    """A start takes 40 s here: for one who waits for 45 s it begins in time, for one who says nothing it can wait."""
    for deadline_s, within_s in ((45.0, 3.0), (None, LIMITS.max_wait_s)):
        world = stage(a=Terms(), b=Terms())
        up(world, "b")
        world.feed(StopAsked("b", "by ann"), EngineStopped("b"))
        up(world, "a")
        for ticket in range(1, 20):
            world.after(1, RequestArrived(ticket, "a"))
        world.feed(RequestArrived(100, "b", by_hand="by ann"), RequestEnded(100))
        began_at = world.now
        world.feed(RequestArrived(101, "b", deadline_s=deadline_s))
        while world.state("a") is EngineState.READY and world.now < began_at + 2 * LIMITS.max_wait_s:
            world.after(1)
        assert world.now - began_at <= within_s
        assert world.state("a") is EngineState.DRAINING


# --- deadlines ----------------------------------------------------------------------------------------------------


def test_a_request_whose_client_will_not_wait_longer_is_told_so_then_and_no_sooner() -> None:
    world = stage(a=Terms())
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "a", deadline_s=20.0))
    assert world.after(20) == []
    [command] = world.after(0.5)
    assert isinstance(command, Reject)
    assert isinstance(command.error, WaitedTooLong)
    assert command.ticket == 2
    assert world.feed(EngineReady("a")) == [Grant(1)]


def test_no_client_waits_longer_than_anybody_may() -> None:
    world = stage(a=Terms())
    world.scheduler._board.engines["a"].needs = replace(needs(amounts(30), CARD_ONLY), start_timeout_s=1e9)
    world.feed(RequestArrived(1, "a", deadline_s=1e6))
    assert world.after(LIMITS.queue_timeout_s) == []
    [command] = world.after(1)
    assert isinstance(command, Reject)


def test_a_deadline_is_of_the_wait_only() -> None:
    world = stage(a=Terms())
    world.feed(RequestArrived(1, "a", deadline_s=20.0))
    assert world.after(10, EngineReady("a")) == [Grant(1)]
    assert world.after(50) == []


def test_an_engine_drains_for_nobody_whose_deadline_has_passed() -> None:
    world = stage(a=Terms(), b=Terms())
    world.feed(RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b", deadline_s=60.0))
    world.after(51)
    assert world.state("a") is EngineState.DRAINING
    assert isinstance(world.after(10)[0], Reject)
    assert world.state("a") is EngineState.READY


# --- the bound ----------------------------------------------------------------------------------------------------


def test_the_swap_for_one_request_begins_after_the_longest_wait_whatever_it_costs() -> None:
    """a is asked for every second and takes its time: nobody's swap is worth it."""
    world = stage(a=Terms(), b=Terms())
    up(world, "a")
    for ticket in range(1, 30):
        world.after(1, RequestArrived(ticket, "a"))
    world.feed(RequestArrived(100, "b"))
    for ticket in range(30, 30 + int(LIMITS.max_wait_s) - 1):
        assert world.after(1, RequestArrived(ticket, "a")) == [Grant(ticket)]
    assert world.after(1, RequestArrived(99, "a")) == [Grant(99)]
    world.feed(Tick())
    assert world.state("a") is EngineState.DRAINING


# --- pinned, resident ---------------------------------------------------------------------------------------------


def test_a_pinned_engine_makes_room_for_nobody_but_stops_for_a_person() -> None:
    world = stage(a=Terms(is_pinned=True), b=Terms())
    up(world, "a")
    assert world.feed(RequestArrived(1, "b")) == []
    [told] = world.after(LIMITS.blocked_s + 1)
    assert isinstance(told, Reject)
    assert "b fits nowhere, since others hold the memory" in told.error.message
    assert world.feed(GateAsked("b")) == [], "nor for one that a person starts"
    assert world.feed(StopAsked("a", "by ann")) == [StopEngine("a")]


def test_beside_a_pinned_engine_the_others_take_turns() -> None:
    world = stage(size=20, a=Terms(is_pinned=True), b=Terms(), c=Terms())
    up(world, "a")
    up(world, "b")
    assert world.feed(RequestArrived(1, "c")) == [StopEngine("b")]


def test_one_that_has_just_become_ready_stays_for_a_while() -> None:
    world = stage(a=Terms(min_residence_s=20.0), b=Terms())
    up(world, "a")
    assert world.feed(RequestArrived(1, "b")) == []
    assert world.after(19) == []
    assert world.after(1) == [StopEngine("a")]


def test_for_who_is_due_and_for_a_person_it_leaves_at_once() -> None:
    world = stage(a=Terms(min_residence_s=1000.0), b=Terms())
    up(world, "a")
    world.feed(RequestArrived(1, "b"))
    assert world.after(LIMITS.max_wait_s - 1) == []
    assert world.after(1) == [StopEngine("a")]
    world = stage(a=Terms(min_residence_s=1000.0), b=Terms())
    up(world, "a")
    assert world.feed(GateAsked("b")) == [StopEngine("a")]


# --- started ahead ------------------------------------------------------------------------------------------------


def test_one_that_is_to_start_ahead_takes_free_room_and_serves_whoever_comes() -> None:
    world = stage(a=Terms())
    preload(world, "a")
    assert world.feed(Tick()) == [StartEngine("a")]
    assert world.feed(EngineReady("a")) == []
    assert world.feed(RequestArrived(1, "a")) == [Grant(1)]
    world.feed(RequestEnded(1), StopAsked("a", "by ann"))
    assert world.feed(EngineStopped("a")) == [], "once: it was ready"


def test_nobody_leaves_for_one_that_is_to_start_ahead_and_no_process_prepares_for_it() -> None:
    world = stage(replace(LIMITS, overlap=True), a=Terms(), b=Terms())
    up(world, "a")
    preload(world, "b")
    assert world.after(LIMITS.max_wait_s + 1) == []
    assert world.feed(StopAsked("a", "by ann")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [StartEngine("b")]


def test_who_waits_goes_before_one_that_is_to_start_ahead() -> None:
    world = stage(a=Terms(), b=Terms(), c=Terms())
    up(world, "c")
    preload(world, "a")
    world.feed(StopAsked("c", "by ann"), RequestArrived(1, "b"))
    assert world.feed(EngineStopped("c")) == [StartEngine("b")]


def test_one_that_was_to_start_ahead_and_cannot_by_its_configuration_is_not_tried_again() -> None:
    world = stage(a=Terms())
    preload(world, "a")
    world.feed(Tick(), StartFailed("a", EngineStartFailed("x", lasts=Lasts.LASTING)))
    world.feed(EngineStopped("a"))
    assert world.after(1e6) == []


# --- many ---------------------------------------------------------------------------------------------------------


def test_a_free_device_is_not_left_idle_however_many_wait_for_another() -> None:
    world = World()
    many = {f"m{number:02}": needs(amounts(20), {"x": 24.0}) for number in range(30)}
    world.set_up({"x": 24.0, "y": 12.0}, {**many, "other": needs(amounts(5), {"y": 12.0})})
    for number, model in enumerate(many):
        world.after(0.1, RequestArrived(number, model))
    assert world.after(0.1, RequestArrived(99, "other")) == [StartEngine("other")]
