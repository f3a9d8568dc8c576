"""Who is taken into the queue, and who is refused at once."""

from dataclasses import replace

from proxy.core.errors import DeadlineTooShort, QueueFull, RotaError
from proxy.core.limits import Limits
from proxy.core.messages import (
    Command,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateReached,
    Grant,
    Reject,
    RequestArrived,
    RequestEnded,
    StartEngine,
    StopAsked,
    StopEngine,
)
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, LIMITS, SlowWorld, amounts, needs


def world_of(terms: Terms, limits: Limits = LIMITS, **models: float) -> SlowWorld:
    world = SlowWorld()
    each = {name: replace(needs(amounts(gib), {CARD: 40}), terms=terms) for name, gib in models.items()}
    world.set_up({CARD: 40}, each, limits)
    return world


def error(commands: list[Command]) -> RotaError:
    [command] = commands
    assert isinstance(command, Reject)
    return command.error


def start(world: SlowWorld, model: str, ticket: int, takes_s: float = 20.0, keep_alive_s: float | None = None) -> None:
    """A start that takes so long, for a request that ends after a second."""
    world.feed(RequestArrived(ticket, model, keep_alive_s=keep_alive_s), GateAsked(model))
    world.after(takes_s / 2, GateReached(model))
    world.after(takes_s / 2, EngineReady(model))
    world.after(1.0, RequestEnded(ticket))


def test_a_full_queue_of_one_model_takes_nobody_more_in_and_says_which_limit_it_is() -> None:
    world = world_of(Terms(concurrency=1, max_queue=2), a=30, b=30)
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "a"))
    full = error(world.feed(RequestArrived(3, "a")))
    assert isinstance(full, QueueFull)
    assert "2 requests wait for a already, and 2 may (max_queue of the model)" in full.message
    assert (full.status, full.retry_after_s) == (429, 30.0)
    assert not any(isinstance(one, Reject) for one in world.feed(RequestArrived(4, "b"))), "another queue is not full"


def test_the_queues_of_all_models_together_are_bounded_too_and_places_come_free() -> None:
    world = world_of(Terms(), replace(LIMITS, max_queue=2), a=30, b=30)
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "b"))
    full = error(world.feed(RequestArrived(3, "a")))
    assert isinstance(full, QueueFull)
    assert "2 requests wait already, and 2 may (setting max_queue)" in full.message
    world.feed(RequestEnded(2))
    assert not any(isinstance(one, Reject) for one in world.feed(RequestArrived(4, "a")))


def test_a_person_is_never_told_that_the_queue_is_full() -> None:
    world = world_of(Terms(max_queue=1), a=30)
    world.feed(RequestArrived(1, "a"))
    assert world.feed(RequestArrived(2, "a", by_hand="by ann")) == []


def test_a_full_queue_says_when_to_come_back_by_what_requests_take_here() -> None:
    world = world_of(Terms(concurrency=1, max_queue=1), a=30)
    start(world, "a", 1)
    world.feed(RequestArrived(2, "a"))
    world.after(4.0, RequestEnded(2))
    world.feed(RequestArrived(3, "a"), RequestArrived(4, "a"))
    # 1 s, then 4 s with a weight of 0.2: 1.6 s for each of the two before it.
    assert round(error(world.feed(RequestArrived(5, "a"))).retry_after_s or 0, 3) == 3.2


def test_nobody_is_refused_for_a_deadline_on_a_guess() -> None:
    world = world_of(Terms(), a=30)
    assert not any(isinstance(one, Reject) for one in world.feed(RequestArrived(1, "a", deadline_s=0.5)))


def test_a_deadline_that_a_start_cannot_keep_by_what_it_took_here_is_refused_and_says_when() -> None:
    world = world_of(Terms(), a=30)
    start(world, "a", 1)
    world.feed(StopAsked("a", "by ann"), EngineStopped("a"))
    world.feed(RequestArrived(2, "a", by_hand="by ann"), RequestEnded(2))
    assert world.state("a") is EngineState.STARTING
    world.after(4.0)
    late = error(world.feed(RequestArrived(3, "a", deadline_s=5.0)))
    assert isinstance(late, DeadlineTooShort)
    assert "served in 16.0 s at the soonest; its client waits 5.0 s" in late.message
    assert (late.status, late.retry_after_s) == (503, 16.0)
    assert world.feed(RequestArrived(4, "a", deadline_s=17.0)) == []


def test_who_is_refused_for_a_deadline_finds_the_engine_when_he_comes_back_if_there_is_room() -> None:
    world = world_of(Terms(), a=30)
    start(world, "a", 1, keep_alive_s=0.0)
    world.feed(EngineStopped("a"))
    refusal, started = world.feed(RequestArrived(2, "a", deadline_s=5.0))
    assert isinstance(refusal, Reject)
    assert started == StartEngine("a")
    world.feed(GateAsked("a"), GateReached("a"))
    world.after(20.0, EngineReady("a"))
    assert world.feed(RequestArrived(3, "a", deadline_s=5.0)) == [Grant(3)]


def test_who_was_refused_counts_as_one_that_waits_until_it_comes_back() -> None:
    for is_busy in (False, True):
        world = world_of(Terms(), a=30, b=30)
        start(world, "a", 1, keep_alive_s=0.0)
        world.feed(EngineStopped("a"))
        start(world, "b", 2)
        for ticket in range(3, 60 if is_busy else 3):
            world.after(0.1, RequestArrived(ticket, "b"))
        refusal, *others = world.feed(RequestArrived(100, "a", deadline_s=5.0))
        assert isinstance(refusal, Reject)
        assert isinstance(refusal.error, DeadlineTooShort)
        assert others == ([] if is_busy else [StopEngine("b")]), "what is busy does not leave for it"
        why = world.scheduler.explain("a", world.now).waits_for
        assert "a client is expected back that was refused 0 s ago for its deadline" in (why or "")
        if is_busy:
            world.after((refusal.error.retry_after_s or 0) + 1)
            assert world.scheduler.explain("a", world.now).waits_for is None, "it has not come back"


def test_a_deadline_counts_in_the_queue_too() -> None:
    world = world_of(Terms(concurrency=1), a=30)
    start(world, "a", 1)
    assert world.feed(RequestArrived(2, "a")) == [Grant(2)]
    assert world.feed(RequestArrived(3, "a", deadline_s=3.0)) == []
    assert world.after(2.9) == []
    assert "the request waited 3 s" in error(world.after(0.2)).message


def test_room_that_must_be_made_first_counts_for_a_deadline() -> None:
    world = world_of(Terms(), a=30, b=30)
    start(world, "a", 1, keep_alive_s=0.0)
    assert world.state("a") is EngineState.STOPPING
    world.after(5.0, EngineStopped("a"))
    start(world, "b", 2)
    # a's start took 20 s and b's stop is expected to take 3 s.
    late, *_ = world.feed(RequestArrived(4, "a", deadline_s=22.0))
    assert isinstance(late, Reject)
    assert "served in 23.0 s" in late.error.message


def test_nobody_is_expected_back_at_an_engine_that_is_there() -> None:
    """It is too busy for the deadline: that is no reason to start it."""
    world = world_of(Terms(concurrency=1), a=30)
    start(world, "a", 1)
    world.feed(RequestArrived(2, "a"))
    world.after(10.0, RequestEnded(2))
    world.feed(RequestArrived(3, "a"), RequestArrived(4, "a"))
    assert isinstance(error(world.feed(RequestArrived(5, "a", deadline_s=1.0))), DeadlineTooShort)
    engine = world.scheduler._board.engines["a"]
    assert (engine.refused_at, engine.is_preload) == (None, False)
