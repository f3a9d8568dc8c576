"""Several devices, the sleep ladder and strangers, as playbooks: events on one side, commands on the other."""

from proxy.core.devices import Process, Strangers
from proxy.core.errors import BlockedByOthers, CannotSleep, EngineStartFailed, WaitedTooLong
from proxy.core.messages import (
    AmountsLearned,
    CloseGate,
    EngineAsleep,
    EngineDown,
    EngineFound,
    EngineReady,
    EngineStopped,
    GateAsked,
    Grant,
    Reject,
    RequestArrived,
    RequestEnded,
    SleepAsked,
    SleepEngine,
    SleepFailed,
    StartEngine,
    StopAsked,
    StopEngine,
    StrangersSeen,
    Tick,
    WakeEngine,
)
from proxy.core.states import EngineState
from tests.core.world import CARD, GIB, World, amounts, gib, needs

BOTH = {"large": 24.0, "small": 11.5}


def ladder(host: float = 100, levels: tuple[int, ...] = (1, 2), **models: float) -> World:
    """One card of 24 GiB; every model keeps 1 GiB asleep and pins what it took."""
    world = World()
    card = {CARD: 24.0}
    world.set_up(
        card, {name: needs(amounts(each, 1, each), card, levels=levels) for name, each in models.items()}, host=host
    )
    return world


def use(world: World, ticket: int, model: str) -> None:
    """One request, after a start that takes as long as one does."""
    world.feed(RequestArrived(ticket, model), GateAsked(model))
    world.after(40, EngineReady(model))
    world.feed(RequestEnded(ticket))
    world.now += 1


# --- several devices ----------------------------------------------------------------------------------------------


def test_two_12_gb_models_share_the_24_gb_card_and_the_light_one_takes_the_12_gb_card() -> None:
    world = World()
    world.set_up(BOTH, {name: needs(amounts(size), BOTH) for name, size in (("a", 12), ("chat", 6), ("b", 12))})
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]
    assert world.feed(RequestArrived(2, "chat")) == [StartEngine("chat")], "another device: at the same time"
    assert world.feed(RequestArrived(3, "b")) == [], "one start at a time on the large card"
    assert world.feed(EngineReady("a")) == [Grant(1), StartEngine("b")]
    assert world.places() == {"a": "large", "chat": "small", "b": "large"}


def test_a_model_may_be_bound_to_a_device() -> None:
    world = World()
    world.set_up(BOTH, {"a": needs(amounts(6), {"large": 24.0})})
    world.feed(RequestArrived(1, "a"))
    assert world.places() == {"a": "large"}


def test_a_model_on_two_devices_waits_for_both_and_nobody_slips_in_before_it() -> None:
    world = World()
    pair = {"x": 20.0, "y": 20.0}
    world.set_up(
        pair,
        {
            "tp": needs(amounts(15), pair, count=2),
            "on_x": needs(amounts(10), {"x": 20.0}),
            "on_y": needs(amounts(10), {"y": 20.0}),
        },
    )
    world.feed(RequestArrived(1, "on_x"))
    assert world.feed(RequestArrived(2, "tp")) == []
    assert world.after(51, RequestArrived(3, "on_y")) == [], "y is free, and one that is due needs it whole"
    assert world.feed(EngineReady("on_x"), RequestEnded(1)) == [StopEngine("on_x")]
    assert world.feed(EngineStopped("on_x")) == [StartEngine("tp")]
    assert world.places() == {"tp": "x+y"}
    assert world.reserved() == {"tp": 15}


def test_a_model_that_fits_on_no_device_is_refused_with_all_of_them() -> None:
    world = World()
    world.set_up(BOTH, {"a": needs(amounts(25), BOTH), "tp": needs(amounts(12), BOTH, count=2)})
    for ticket, model in ((1, "a"), (2, "tp")):
        [command] = world.feed(RequestArrived(ticket, model))
        assert isinstance(command, Reject)
        assert "large has 24.00 GiB for models, small has 11.50 GiB" in command.error.message


def test_the_peak_of_a_start_is_reserved_and_given_back_when_it_is_ready() -> None:
    world = World()
    card = {CARD: 24.0}
    world.set_up(card, {"a": needs(amounts(10, peak=14), card), "b": needs(amounts(12), card)})
    world.feed(RequestArrived(1, "a"), RequestArrived(2, "b"))
    assert world.reserved() == {"a": 14}
    assert world.feed(EngineReady("a")) == [Grant(1), StartEngine("b")]
    assert world.reserved() == {"a": 10, "b": 12}


# --- the sleep ladder ---------------------------------------------------------------------------------------------


def test_an_idle_engine_falls_asleep_for_another_and_wakes_when_it_is_wanted() -> None:
    world = ladder(a=20, b=20)
    use(world, 1, "a")
    assert world.feed(RequestArrived(2, "b")) == [SleepEngine("a", 1)]
    assert world.reserved() == {"a": 20}, "what it holds is given back when it has been seen free"
    assert world.feed(EngineAsleep("a")) == [StartEngine("b")]
    assert world.reserved() == {"a": 1, "b": 20}
    world.feed(EngineReady("b"), RequestEnded(2))
    assert world.feed(RequestArrived(3, "a")) == [SleepEngine("b", 1)]
    assert world.feed(EngineAsleep("b")) == [WakeEngine("a", 1)]
    assert world.feed(RequestArrived(4, "a")) == [], "no request reaches an engine that is not awake"
    assert world.feed(EngineReady("a")) == [Grant(3), Grant(4)]


def test_a_busy_engine_drains_before_it_falls_asleep() -> None:
    world = ladder(a=20, b=20)
    world.feed(RequestArrived(1, "a"), EngineReady("a"))
    assert world.feed(RequestArrived(2, "b")) == []
    assert world.feed(RequestEnded(1)) == [SleepEngine("a", 1)]


def test_level_2_where_the_host_has_no_memory_left_and_stop_where_the_room_asleep_is_needed() -> None:
    world = ladder(host=10, a=20, b=20, c=24)
    use(world, 1, "a")
    assert world.feed(RequestArrived(2, "b")) == [SleepEngine("a", 2)]
    world.feed(EngineAsleep("a"), EngineReady("b"), RequestEnded(2))
    assert world.feed(RequestArrived(3, "c")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [StopEngine("b")]
    assert world.feed(EngineStopped("b")) == [StartEngine("c")]


def test_a_level_from_which_it_comes_back_no_sooner_than_from_a_cold_start_is_not_used_again() -> None:
    world = ladder(levels=(1,), a=20, b=20)
    world.feed(RequestArrived(1, "a"))
    world.after(5, EngineReady("a"))
    world.feed(RequestEnded(1), RequestArrived(2, "b"))
    assert world.state("a") is EngineState.FALLING_ASLEEP
    world.feed(EngineAsleep("a"), EngineReady("b"), RequestEnded(2), RequestArrived(3, "a"), EngineAsleep("b"))
    world.after(9, EngineReady("a"))
    world.feed(RequestEnded(3), EngineDown("b", "x"), EngineStopped("b"))
    assert world.feed(RequestArrived(4, "b")) == [StopEngine("a")], "nine seconds to wake, five to start"


def test_an_engine_without_levels_is_stopped() -> None:
    world = ladder(levels=(), a=20, b=20)
    use(world, 1, "a")
    assert world.feed(RequestArrived(2, "b")) == [StopEngine("a")]


def test_what_is_pinned_stays_in_the_account_after_the_wake_and_until_the_stop() -> None:
    world = ladder(host=25, a=20, b=20)
    use(world, 1, "a")
    world.feed(RequestArrived(2, "b"), EngineAsleep("a"))
    assert world.scheduler.ledger.pinned == {"a": 20 * GIB}
    world.feed(EngineReady("b"), RequestEnded(2), RequestArrived(3, "a"))
    assert world.state("b") is EngineState.FALLING_ASLEEP
    assert world.feed(EngineAsleep("b")) == [WakeEngine("a", 1)]
    assert world.scheduler.ledger.pinned == {"a": 20 * GIB}, "b sleeps at level 2: a's pages are not given back"
    world.feed(EngineReady("a"), RequestEnded(3), EngineDown("a", "killed"), EngineStopped("a"))
    assert world.scheduler.ledger.pinned == {}


def test_a_sleep_that_fails_ends_the_process_and_is_counted_and_twice_is_enough() -> None:
    world = ladder(levels=(1,), a=20, b=20)
    for ticket in (10, 20):
        use(world, ticket, "a")
        assert world.feed(RequestArrived(ticket + 1, "b")) == [SleepEngine("a", 1)]
        assert world.feed(SleepFailed("a", "HTTP 500")) == [StopEngine("a", at_once=True)]
        assert world.feed(EngineStopped("a")) == [StartEngine("b")]
        assert world.state("a") is EngineState.STOPPED, "no failure of a start: nothing to cool down from"
        world.feed(EngineReady("b"), RequestEnded(ticket + 1), EngineDown("b", "x"), EngineStopped("b"))
    view = world.scheduler.view(world.now)[0]
    assert (view.escalations, view.last_escalation) == (2, "level 1: HTTP 500")
    use(world, 30, "a")
    assert world.feed(RequestArrived(31, "b")) == [StopEngine("a")], "not put to sleep any more"


def test_who_waits_for_a_wake_that_fails_gets_a_cold_start() -> None:
    world = ladder(a=20, b=20)
    use(world, 1, "a")
    world.feed(RequestArrived(2, "b"), EngineAsleep("a"), EngineReady("b"), RequestEnded(2))
    world.feed(RequestArrived(3, "a"), EngineAsleep("b"))
    assert world.feed(SleepFailed("a", "its answers are not what they were")) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    assert world.feed(EngineReady("a")) == [Grant(3)]


def test_a_sleep_and_a_wake_that_never_end_are_ended() -> None:
    world = ladder(a=20, b=20)
    use(world, 1, "a")
    world.feed(RequestArrived(2, "b"))
    assert world.after(59) == []
    [failed, *_] = [world.after(2)]
    assert StopEngine("a", at_once=True) in failed
    assert "still falling_asleep after 60 s" in str(world.scheduler.view(world.now)[0].last_escalation)


def test_an_engine_that_ends_in_its_sleep_is_cleared_away() -> None:
    world = ladder(a=20, b=20)
    use(world, 1, "a")
    world.feed(RequestArrived(2, "b"), EngineAsleep("a"), EngineReady("b"))
    assert world.feed(EngineDown("a", "killed")) == [StopEngine("a", at_once=True)]
    world.feed(EngineStopped("a"))
    assert world.reserved() == {"b": 20}


def test_an_engine_that_sleeps_when_the_proxy_comes_back_goes_on_sleeping_and_can_be_woken() -> None:
    world = ladder(a=20, b=20)
    assert world.feed(EngineFound("a", (CARD,), sleep_level=1)) == []
    assert (world.state("a"), world.reserved()) == (EngineState.ASLEEP, {"a": 1})
    assert world.scheduler.ledger.pinned == {"a": 20 * GIB}
    assert world.feed(RequestArrived(1, "a")) == [WakeEngine("a", 1)]


def test_an_engine_whose_level_nobody_knows_is_woken_as_such() -> None:
    world = ladder(a=20)
    world.feed(EngineFound("a", (CARD,), sleep_level=0))
    assert world.feed(RequestArrived(1, "a")) == [WakeEngine("a", 0)]


def test_a_person_puts_an_engine_to_sleep_and_the_next_request_wakes_it() -> None:
    world = ladder(a=20)
    world.feed(RequestArrived(1, "a"), EngineReady("a"))
    assert world.feed(SleepAsked("a", 2, "by ann")) == []
    assert world.feed(RequestEnded(1)) == [SleepEngine("a", 2)]
    assert world.feed(EngineAsleep("a")) == []
    assert world.feed(Tick()) == []
    assert world.feed(RequestArrived(2, "a")) == [WakeEngine("a", 2)]


def test_what_a_person_cannot_put_to_sleep_says_why() -> None:
    world = ladder(host=10, levels=(1,), a=20)
    why = [world.scheduler.why_not_sleep("a", level) for level in (2, 1)]
    use(world, 1, "a")
    why.append(world.scheduler.why_not_sleep("a", 1))
    assert all(isinstance(error, CannotSleep) for error in why)
    texts = [str(error) for error in why]
    assert "Its levels: 1" in texts[0]
    assert "is stopped" in texts[1]
    assert "sleep_host_gib" in texts[2]
    assert world.feed(SleepAsked("a", 1, "by ann")) == []


def test_a_person_stops_an_engine_that_sleeps() -> None:
    world = ladder(a=20)
    use(world, 1, "a")
    world.feed(SleepAsked("a", 1, "by ann"), EngineAsleep("a"))
    assert world.feed(StopAsked("a", "by ann")) == [StopEngine("a")]


def test_what_has_been_measured_replaces_what_was_declared() -> None:
    world = ladder(a=20, b=4)
    use(world, 1, "a")
    world.feed(RequestArrived(2, "b"))
    world.feed(AmountsLearned("a", amounts(18, 2, 20)))
    assert world.reserved()["a"] == 18
    world.feed(EngineReady("b"), RequestEnded(2), SleepAsked("a", 1, "by ann"), EngineAsleep("a"))
    assert world.reserved() == {"a": 2, "b": 4}
    world.feed(AmountsLearned("a", amounts(18, 3, 20)))
    assert world.reserved() == {"a": 3, "b": 4}


# --- strangers ----------------------------------------------------------------------------------------------------


def strangers(amount: float, on: str = CARD) -> StrangersSeen:
    return StrangersSeen({on: Strangers(gib(amount), (Process(77, gib(amount), "python train.py"),))})


def test_a_request_is_told_who_holds_the_memory_after_a_moment_of_patience() -> None:
    world = World(a=30)
    assert world.feed(strangers(15), RequestArrived(1, "a")) == []
    assert world.after(9) == []
    [command] = world.after(2)
    assert isinstance(command, Reject)
    assert isinstance(command.error, BlockedByOthers)
    assert "card (40.00 GiB for models): pid 77 (python train.py) 15.00" in command.error.message
    assert command.error.retry_after_s is not None
    assert world.feed(strangers(0), RequestArrived(2, "a")) == [StartEngine("a")]


def test_memory_that_comes_back_in_time_is_used() -> None:
    world = World(a=30)
    world.feed(strangers(15), RequestArrived(1, "a"))
    assert world.after(5, strangers(1)) == [StartEngine("a")]


def test_a_stranger_who_takes_the_room_of_a_sleeper_sends_it_to_another_device() -> None:
    pair = {"x": 20.0, "y": 20.0}
    world = World()
    world.set_up(pair, {"a": needs(amounts(15, 1, 15), pair, levels=(1,))}, host=50)
    use(world, 1, "a")
    world.feed(SleepAsked("a", 1, "by ann"), EngineAsleep("a"), strangers(10, "x"))
    assert world.feed(RequestArrived(2, "a")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [StartEngine("a")]
    assert world.places() == {"a": "y"}


def test_a_process_at_the_gate_is_told_so_too() -> None:
    world = World(a=30)
    world.feed(strangers(15), GateAsked("a"))
    [command] = world.after(11)
    assert isinstance(command, CloseGate)
    assert isinstance(command.error, BlockedByOthers)


def test_who_waited_in_vain_is_told_who_held_the_memory() -> None:
    world = World(a=30, b=30)
    world.feed(strangers(2), RequestArrived(1, "a"), EngineReady("a"), RequestArrived(2, "b"))
    [command] = world.after(101)
    assert isinstance(command, Reject)
    assert isinstance(command.error, WaitedTooLong)
    assert "a 30.00, pid 77 (python train.py) 2.00" in command.error.message


def test_one_that_failed_because_of_strangers_starts_when_they_have_gone() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), EngineDown("a", "x"), EngineStopped("a"), strangers(15))
    [command] = world.after(5, RequestArrived(2, "a"))
    assert isinstance(command, Reject)
    assert isinstance(command.error, EngineStartFailed), "its own failure comes first"
    assert world.after(11, RequestArrived(3, "a")) == []
    assert world.feed(strangers(0)) == [StartEngine("a")]
