"""A new catalog under running engines, as playbooks."""

from dataclasses import replace

import pytest

from proxy.core.costs import Costs
from proxy.core.errors import ModelNotFound, ModelTooLarge
from proxy.core.messages import (
    AmountsLearned,
    CloseGate,
    Command,
    EngineAsleep,
    EngineDown,
    EngineFound,
    EngineReady,
    EngineStopped,
    ForgetModel,
    GateAsked,
    Grant,
    ModelRemoved,
    ModelSet,
    OpenGate,
    PreloadAsked,
    Reject,
    RequestArrived,
    RequestEnded,
    SleepAsked,
    StartEngine,
    StopAsked,
    StopEngine,
    Tick,
    UseEntry,
)
from proxy.core.roster import EngineNeeds
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, World, amounts, needs


def sized(gib: float, **terms: float) -> EngineNeeds:
    made = needs(amounts(gib), {CARD: 40})
    return replace(made, terms=Terms(**terms))  # type: ignore[arg-type]


def set_to(model: str, gib: float, *, same: bool = False, costs: Costs | None = None, **terms: float) -> ModelSet:
    return ModelSet(model, sized(gib, **terms), costs or Costs(), same)


class Served(World):
    """`a` is ready and serves ticket 1."""

    def __init__(self) -> None:
        super().__init__(a=30, b=30)
        self.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"))

    def answered(self, commands: list[Command]) -> list[Command]:
        return [one for one in commands if isinstance(one, Grant | Reject)]


@pytest.fixture
def world() -> Served:
    return Served()


def test_a_model_that_is_new_is_served_and_nobody_else_is_touched(world: Served) -> None:
    assert world.feed(set_to("c", 5)) == []
    assert world.state("c") is EngineState.STOPPED
    assert world.feed(RequestArrived(2, "c")) == [StartEngine("c")]
    assert world.state("a") is EngineState.READY


def test_what_only_says_how_a_model_is_treated_counts_at_once(world: Served) -> None:
    assert world.feed(set_to("a", 30, same=True, concurrency=1)) == []
    assert world.state("a") is EngineState.READY
    assert world.feed(RequestArrived(2, "a")) == [], "one at a time now"
    assert Grant(2) in world.feed(RequestEnded(1))


def test_a_changed_engine_serves_to_the_end_and_the_next_request_gets_the_new_one(world: Served) -> None:
    assert world.feed(set_to("a", 20)) == []
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestArrived(2, "a")) == [], "it waits for the new one"
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [UseEntry("a"), StartEngine("a")], "the new entry counts before the start"
    assert world.reserved() == {"a": 20}
    assert Grant(2) in world.feed(GateAsked("a"), EngineReady("a"))


def test_an_idle_changed_engine_goes_at_once_and_does_not_come_back_unasked(world: Served) -> None:
    world.feed(RequestEnded(1))
    assert world.feed(set_to("a", 20)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [UseEntry("a")]
    assert world.after(1) == []
    assert world.state("a") is EngineState.STOPPED


def test_a_start_that_is_under_way_is_begun_anew_and_who_waits_goes_on_waiting(world: Served) -> None:
    world = Served()
    world.feed(RequestEnded(1))
    world.feed(RequestArrived(2, "b"))
    world.feed(EngineStopped("a"), GateAsked("b"))
    assert world.state("b") is EngineState.STARTING
    assert world.feed(set_to("b", 10)) == [StopEngine("b")]
    assert world.feed(EngineStopped("b")) == [UseEntry("b"), StartEngine("b")]
    assert Grant(2) in world.feed(GateAsked("b"), EngineReady("b"))


def test_an_engine_that_is_away_follows_at_once_and_a_failure_of_the_old_entry_is_forgotten() -> None:
    world = World(a=60)
    [refused] = world.feed(RequestArrived(1, "a"))
    assert isinstance(refused, Reject)
    assert isinstance(refused.error, ModelTooLarge)
    assert world.feed(set_to("a", 30)) == [UseEntry("a")]
    assert world.feed(RequestArrived(2, "a")) == [StartEngine("a")]


def test_who_waits_for_a_model_that_has_become_too_large_is_told(world: Served) -> None:
    world.feed(set_to("a", 60), RequestArrived(2, "a"))
    world.feed(RequestEnded(1))
    used, refused = world.feed(EngineStopped("a"))
    assert used == UseEntry("a")
    assert isinstance(refused, Reject)
    assert isinstance(refused.error, ModelTooLarge)


def test_a_change_that_is_taken_back_before_it_counts_leaves_the_engine_in_place(world: Served) -> None:
    world.feed(set_to("a", 20))
    assert world.state("a") is EngineState.DRAINING
    world.feed(set_to("a", 30, same=True))
    assert world.state("a") is EngineState.READY
    assert Grant(2) in world.feed(RequestArrived(2, "a"))


def test_the_last_of_two_changes_counts(world: Served) -> None:
    world.feed(set_to("a", 20), set_to("a", 10), RequestEnded(1))
    world.feed(EngineStopped("a"), RequestArrived(2, "a"))
    assert world.reserved() == {"a": 10}


def test_a_person_who_starts_a_changed_engine_does_not_keep_the_old_one(world: Served) -> None:
    world.feed(set_to("a", 20), RequestArrived(2, "a", by_hand="root"))
    assert world.state("a") is EngineState.DRAINING
    world.feed(RequestEnded(1))
    assert StartEngine("a") in world.feed(EngineStopped("a"))


def test_a_removed_model_serves_those_who_came_before_and_is_forgotten(world: Served) -> None:
    world.feed(set_to("a", 30, same=True, concurrency=1), RequestArrived(2, "a"))
    assert world.feed(ModelRemoved("a")) == []
    assert Grant(2) in world.feed(RequestEnded(1))
    assert world.feed(RequestEnded(2)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [ForgetModel("a")]
    assert "a" not in world.scheduler.states()
    assert [view.model for view in world.scheduler.view(world.now)] == ["b"]


def test_a_removed_model_that_somebody_waits_for_is_started_for_them_and_goes_then(world: Served) -> None:
    world.feed(RequestArrived(2, "b"), ModelRemoved("b"))
    world.feed(RequestEnded(1))
    world.feed(EngineStopped("a"), GateAsked("b"))
    assert Grant(2) in world.feed(EngineReady("b"))
    assert world.feed(RequestEnded(2)) == [StopEngine("b")]
    assert world.feed(EngineStopped("b")) == [ForgetModel("b")]


def test_a_removed_model_that_is_away_is_forgotten_at_once(world: Served) -> None:
    assert world.feed(ModelRemoved("b")) == [ForgetModel("b")]


def test_what_still_comes_about_a_forgotten_model_is_old_news(world: Served) -> None:
    world.feed(ModelRemoved("b"))
    [refused] = world.feed(RequestArrived(9, "b"))
    assert isinstance(refused, Reject)
    assert isinstance(refused.error, ModelNotFound)
    [closed, *_] = world.feed(GateAsked("b"))
    assert isinstance(closed, CloseGate)
    assert world.feed(EngineStopped("b"), AmountsLearned("b", amounts(1)), PreloadAsked("b")) == []
    with pytest.raises(KeyError):
        world.feed(RequestArrived(9, "never there"))


def test_a_model_that_comes_back_while_it_leaves_stays(world: Served) -> None:
    world.feed(ModelRemoved("a"), set_to("a", 30, same=True))
    assert world.feed(RequestEnded(1)) == []
    assert world.state("a") is EngineState.READY


def test_a_model_that_comes_back_after_it_was_forgotten_is_new(world: Served) -> None:
    world.feed(ModelRemoved("b"), set_to("b", 5))
    assert world.feed(RequestArrived(2, "b")) == [StartEngine("b")]


def test_a_process_that_a_person_started_and_that_waits_is_told_to_come_again() -> None:
    world = World(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"))
    world.feed(GateAsked("b"))
    closed, used = world.feed(set_to("b", 10))
    assert isinstance(closed, CloseGate)
    assert "start it again" in closed.error.message
    assert used == UseEntry("b")


def test_what_was_learned_of_the_old_entry_is_kept_under_it_and_the_new_one_has_its_own(world: Served) -> None:
    world.now = 5
    world.feed(set_to("a", 20, costs=Costs(load_s=3.0)), RequestEnded(1))
    world.after(7, EngineStopped("a"))
    assert world.scheduler.learned_costs()["a"].stop_s == 7
    assert world.scheduler.costs("a").stop_s is None
    assert world.scheduler.costs("a").load_s == 3.0


def test_a_sleeping_engine_that_has_changed_is_not_woken_again() -> None:
    world = World()
    world.set_up({CARD: 40}, {"a": needs(amounts(30, 2, 5), {CARD: 40}, levels=(1,))}, host=50)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"), RequestEnded(1))
    world.feed(SleepAsked("a", 1, "by root"), EngineAsleep("a"))
    assert world.state("a") is EngineState.ASLEEP
    assert world.feed(set_to("a", 20)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a"), RequestArrived(2, "a")) == [StartEngine("a")]
    assert world.feed(GateAsked("a"))[-1] == OpenGate("a", (CARD,), amounts(20).awake_bytes)


def test_an_engine_that_is_found_and_runs_by_an_entry_of_the_past_goes_and_comes_back_for_whoever_asks() -> None:
    world = World(a=30)
    assert world.feed(EngineFound("a", (CARD,), None, is_outdated=True)) == [StopEngine("a")]
    assert world.feed(RequestArrived(1, "a")) == []
    assert world.feed(EngineStopped("a")) == [UseEntry("a"), StartEngine("a")]
    assert Grant(1) in world.feed(GateAsked("a"), EngineReady("a"))


def test_a_model_whose_failed_entry_has_changed_is_no_failure_any_more() -> None:
    world = World(a=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"))
    world.feed(EngineDown("a", "exit status 1"), EngineStopped("a"))
    assert world.state("a") is EngineState.FAILED
    assert world.feed(set_to("a", 20)) == [UseEntry("a")]
    [view] = world.scheduler.view(world.now)
    assert (view.state, view.failure, view.is_cooling) == (EngineState.STOPPED, None, False)


def test_what_is_to_be_loaded_ahead_is_so_by_its_new_entry_too(world: Served) -> None:
    preload = replace(sized(5), terms=Terms(is_preload=True))
    assert world.feed(ModelSet("c", preload, Costs(), is_same_launch=False)) == [StartEngine("c")]
    changed = replace(sized(20), terms=Terms(is_preload=True))
    world.feed(ModelSet("a", changed, Costs(), is_same_launch=False), RequestEnded(1), GateAsked("c"), EngineReady("c"))
    world.feed(Tick())
    assert world.state("a") is EngineState.STOPPING
    assert world.feed(EngineStopped("a")) == [UseEntry("a"), StartEngine("a")], "nobody asks for it"


def test_a_model_that_an_agent_type_has_loaded_ahead_from_now_on_is_started(world: Served) -> None:
    world.feed(RequestEnded(1), StopAsked("a", "by root"), EngineStopped("a"))
    ahead = replace(sized(30), terms=Terms(is_preload=True))
    assert world.feed(ModelSet("b", ahead, Costs(), is_same_launch=True)) == [StartEngine("b")]
    assert world.feed(ModelSet("a", ahead, Costs(), is_same_launch=True)) == [], "a person stopped it"


def test_a_change_that_is_taken_back_does_not_undo_a_stop_by_hand(world: Served) -> None:
    world.feed(set_to("a", 20), StopAsked("a", "by root"), set_to("a", 30, same=True))
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
