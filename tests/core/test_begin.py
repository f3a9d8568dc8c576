"""First the facts and a plan on one side, commands on the other; then whole swaps whose start overlaps the way out."""

from dataclasses import replace

from proxy.core.begin import begin_transitions, park
from proxy.core.errors import EngineStartFailed
from proxy.core.limits import Limits
from proxy.core.messages import (
    EngineDown,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateLeft,
    Grant,
    OpenGate,
    RequestArrived,
    RequestEnded,
    SleepEngine,
    StartEngine,
    StopAsked,
    StopEngine,
    WakeEngine,
)
from proxy.core.offers import Covered, Demand, Eviction, Plan, Rung, Way
from proxy.core.states import EngineState
from tests.core import world as worlds
from tests.core.boards import LIMITS, Stage, ladder
from tests.core.world import CARD, GIB, World, gib

STOP = Way(Rung.STOP)


def demand(model: str, size: float = 10, *, is_modest: bool = False) -> Demand:
    return Demand(model, gib(size), (("x",),), is_modest=is_modest)


def covered(model: str, size: float, *on: str, **victims: Way) -> Covered:
    return Covered(demand(model, size), on or ("x",), Eviction(victims))


def plan(*served: Covered) -> Plan:
    return Plan({model: way for one in served for model, way in one.eviction.ways.items()}, served)


def begun(stage: Stage, decided: Plan) -> list[object]:
    stage.board.commands.clear()
    begin_transitions(stage.board, decided, 1.0)
    return list(stage.board.commands)


# --- one at a time on each device ---------------------------------------------------------------------------------


def test_what_fits_starts_with_its_memory_reserved_and_says_why() -> None:
    stage = Stage({"a": ladder(10, peak=11)})
    assert begun(stage, plan(covered("a", 11, "y"))) == [StartEngine("a")]
    assert stage.board.ledger.reservations("y") == {"a": 11 * GIB}
    assert (stage["a"].state, stage["a"].why) == (
        EngineState.STARTING,
        "its oldest request has waited 0.0 s; 12.00 GiB are free on y",
    )


def test_a_sleeper_wakes_where_it_is() -> None:
    stage = Stage({"a": ladder(10)})
    stage.asleep("a", "y", level=2)
    assert begun(stage, plan(covered("a", 9, "y"))) == [WakeEngine("a", 2)]
    assert stage.board.ledger.reservations("y") == {"a": 10 * GIB}


def test_a_process_that_a_person_started_is_let_in() -> None:
    stage = Stage({"a": ladder(10)})
    stage.board.stand_at_gate(stage["a"], 0.5)
    stage["a"].is_at_gate = True
    pressing = Covered(replace(demand("a", 10), is_pressing=True), ("y",), Eviction({}))
    assert begun(stage, plan(pressing)) == [OpenGate("a", ("y",), 10 * GIB)]
    assert stage["a"].why.startswith("somebody started it by hand")


def test_what_does_not_fit_yet_waits() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(15)})
    stage.ready("b")
    assert begun(stage, plan(covered("a", 10, "x"))) == []
    assert stage["a"].state is EngineState.STOPPED


def test_two_start_on_two_devices_and_one_after_the_other_on_one() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(10), "c": ladder(10)})
    decided = plan(covered("a", 10, "x"), covered("b", 10, "x"), covered("c", 10, "y"))
    assert begun(stage, decided) == [StartEngine("a"), StartEngine("c")]
    assert begun(stage, plan(covered("b", 10, "x"))) == [], "a is starting there"


def test_nobody_starts_beside_a_wake_a_sleep_or_a_stop_and_elsewhere_at_once() -> None:
    for change in ("starting", "falling_asleep", "stopping"):
        stage = Stage({"a": ladder(5), "b": ladder(5)})
        getattr(stage, change)("a", "x")
        assert begun(stage, plan(covered("b", 5, "x"))) == [], change
        assert begun(stage, plan(covered("b", 5, "y"))) == [StartEngine("b")], change


def test_a_model_on_two_devices_that_waits_for_one_is_not_overtaken_on_the_other() -> None:
    stage = Stage({"a": ladder(5), "tp": ladder(5), "b": ladder(5)})
    stage.starting("a", "x")
    assert begun(stage, plan(covered("tp", 5, "x", "y"), covered("b", 5, "y"))) == []
    assert begun(stage, plan(covered("b", 5, "y"), covered("tp", 5, "x", "y"))) == [StartEngine("b")]


def test_who_has_drained_goes_down_before_a_later_start_on_its_device() -> None:
    stage = Stage({"a": ladder(10), "first": ladder(20), "second": ladder(10)})
    stage.draining("a", "x").rung = Rung.STOP
    decided = plan(covered("first", 20, "x", a=STOP), covered("second", 10, "x"))
    assert begun(stage, decided) == [StopEngine("a")]
    assert begun(stage, plan(covered("second", 10, "x"))) == [], "the stop is under way"


def test_a_later_one_starts_while_the_victims_of_an_earlier_one_still_serve() -> None:
    stage = Stage({"a": ladder(10), "first": ladder(20), "second": ladder(10)})
    stage.draining("a", "x", leases=[1])
    decided = plan(covered("first", 20, "x", a=STOP), covered("second", 10, "x"))
    assert begun(stage, decided) == [StartEngine("second")]


def test_of_two_that_have_drained_on_one_device_one_goes_down_at_a_time() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(10), "c": ladder(10)})
    for model, on in (("a", "x"), ("b", "x"), ("c", "y")):
        stage.draining(model, on).rung = Rung.STOP
    assert begun(stage, Plan()) == [StopEngine("a"), StopEngine("c")]


def test_nobody_goes_down_who_still_has_leases_or_who_is_no_victim() -> None:
    stage = Stage({"busy": ladder(4), "ready": ladder(4), "asleep": ladder(4)})
    stage.draining("busy", leases=[1])
    stage.ready("ready")
    stage.asleep("asleep")
    assert begun(stage, Plan()) == []


# --- how it goes down ---------------------------------------------------------------------------------------------


def test_it_goes_to_the_rung_that_was_decided() -> None:
    for rung, command in ((Rung.LEVEL_1, SleepEngine("a", 1)), (Rung.LEVEL_2, SleepEngine("a", 2))):
        stage = Stage({"a": ladder(10)})
        stage.draining("a").rung = rung
        assert begun(stage, Plan()) == [command]
    for undecided in (Rung.STOP, None):
        stage = Stage({"a": ladder(10)})
        stage.draining("a").rung = undecided
        assert begun(stage, Plan()) == [StopEngine("a")]


def test_a_rung_that_the_model_does_not_have_is_a_stop() -> None:
    stage = Stage({"a": ladder(10, levels=(2,))})
    stage.draining("a").rung = Rung.LEVEL_1
    assert begun(stage, Plan()) == [StopEngine("a")]


def test_a_level_1_sleep_waits_for_the_host_memory_that_others_give_back() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(5)}, host=10)
    stage.asleep("b", "y")
    engine = stage.draining("a")
    engine.rung, engine.is_asked = Rung.LEVEL_1, True
    assert begun(stage, Plan()) == []
    assert not engine.is_asked, "the plan decides what becomes of it"
    stage.board.ledger.release("b")
    assert begun(stage, Plan()) == [SleepEngine("a", 1)]
    assert stage.board.ledger.pinned == {"a": 10 * GIB}


def test_what_is_pinned_already_needs_no_host_memory_a_second_time() -> None:
    stage = Stage({"a": ladder(10)}, host=9)
    stage.draining("a").rung = Rung.LEVEL_1
    stage.board.ledger.adopt_pinned("a", 10 * GIB)
    assert begun(stage, Plan()) == [SleepEngine("a", 1)]


def test_a_sleeper_that_is_a_victim_stops_and_says_for_whom() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(24), "c": ladder(1)})
    stage.asleep("a", "x")
    assert begun(stage, plan(covered("c", 1, "y"), covered("b", 24, "x", a=STOP))) == [
        StartEngine("c"),
        StopEngine("a"),
    ]
    assert stage["a"].why.startswith("idle 1 s, frees 1.00 GiB for b: its oldest request has waited 0.0 s; a, 0.0")


def test_a_sleeper_that_a_person_wants_stopped_stops_and_keeps_saying_so() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.asleep("a", "x")
    engine.is_asked, engine.rung, engine.why = True, Rung.STOP, "stopped by ann"
    assert begun(stage, Plan()) == [StopEngine("a")]
    assert engine.why == "stopped by ann"


# --- who is parked ------------------------------------------------------------------------------------------------


def parked(stage: Stage, *demands: Demand) -> list[object]:
    stage.board.commands.clear()
    park(stage.board, demands, 1.0)
    return list(stage.board.commands)


def test_as_many_processes_prepare_as_there_are_devices_the_first_in_order_first() -> None:
    stage = Stage({name: ladder(10) for name in "abcd"})
    demands = [demand(name) for name in "cabd"]
    assert parked(stage, *demands) == [StartEngine("c"), StartEngine("a")]
    assert [stage[name].state for name in "ca"] == [EngineState.PARKED, EngineState.PARKED]
    assert parked(stage, *demands) == [], "those that prepare already count"
    stage.board.start(stage["c"], ("x",), 2.0, "x")
    assert parked(stage, *demands) == [StartEngine("b")]
    assert stage.board.ledger.placings.keys() == {"c"}, "who prepares holds no memory"


def test_nobody_prepares_where_the_setting_forbids_it() -> None:
    stage = Stage({"a": ladder(10)}, limits=replace(LIMITS, overlap=False))
    assert parked(stage, demand("a")) == []


def test_who_has_a_process_already_needs_no_other() -> None:
    stage = Stage({name: ladder(4) for name in "abcd"})
    stage.board.stand_at_gate(stage["a"], 0.0)
    stage.starting("b")
    stage.asleep("c", "y")
    assert parked(stage, *(demand(name) for name in "abc")) == []
    assert parked(stage, demand("d")) == [StartEngine("d")]


def test_what_nobody_waits_for_does_not_prepare_and_takes_nobodys_place() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(10)}, cards={"x": 24.0})
    assert parked(stage, demand("a", is_modest=True), demand("b")) == [StartEngine("b")]


def test_one_that_has_failed_and_cooled_down_prepares_like_any_other() -> None:
    stage = Stage({"a": ladder(10)})
    stage.board.fail(stage.starting("a"), EngineStartFailed("x"), 0.0)
    stage.board.ledger.release("a")
    stage.board.move(stage["a"], EngineState.FAILED, 0.0, "x")
    assert parked(stage, demand("a")) == [StartEngine("a")]
    assert stage["a"].failure is None


# --- a whole swap -------------------------------------------------------------------------------------------------

OVERLAP = Limits(max_wait_s=50, queue_timeout_s=100, cool_down_s=10, overlap=True)


def busy() -> World:
    """a serves one request; b does not fit beside it."""
    world = World(a=30, b=30, c=30, limits=OVERLAP)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), EngineReady("a"))
    return world


def test_one_that_fits_at_once_is_not_parked() -> None:
    world = World(a=30, limits=OVERLAP)
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")]
    assert world.state("a") is EngineState.STARTING


def test_a_process_prepares_while_others_still_serve_and_is_let_in_when_their_memory_is_free() -> None:
    world = busy()
    assert world.feed(RequestArrived(2, "b")) == [StartEngine("b")]
    assert world.reserved() == {"a": 30}
    assert world.after(20, GateAsked("b")) == [], "it waits at the gate, with its imports done"
    assert world.after(31) == []
    assert world.state("a") is EngineState.DRAINING
    assert world.feed(RequestEnded(1)) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [OpenGate("b", (CARD,), 30 * GIB)]
    assert world.feed(EngineReady("b")) == [Grant(2)]


def test_one_whose_memory_is_free_first_is_let_in_when_it_comes_to_the_gate() -> None:
    world = busy()
    world.feed(RequestArrived(2, "b"))
    world.after(51)
    world.feed(RequestEnded(1))
    assert world.feed(EngineStopped("a")) == [], "its process is there, and memory is reserved for it"
    assert (world.state("b"), world.reserved()) == (EngineState.STARTING, {"b": 30})
    assert world.feed(GateAsked("b")) == [OpenGate("b", (CARD,), 30 * GIB)]


def test_one_process_prepares_for_each_device_and_the_next_when_that_one_is_let_in() -> None:
    world = busy()
    assert world.feed(RequestArrived(2, "b")) == [StartEngine("b")]
    assert world.feed(RequestArrived(3, "c")) == []
    world.after(51, GateAsked("b"))
    world.feed(RequestEnded(1))
    assert world.feed(EngineStopped("a")) == [OpenGate("b", (CARD,), 30 * GIB), StartEngine("c")]


def test_one_that_nobody_waits_for_any_longer_is_ended_and_its_end_is_no_failure() -> None:
    world = busy()
    world.feed(RequestArrived(2, "b"), GateAsked("b"))
    assert world.feed(RequestEnded(2)) == [StopEngine("b")]
    assert world.reserved() == {"a": 30, "b": 0}
    assert world.feed(RequestArrived(3, "b")) == [], "its old process goes first"
    assert world.feed(EngineStopped("b")) == [StartEngine("b")]


def test_one_that_ends_while_it_prepares_has_failed() -> None:
    world = busy()
    world.feed(RequestArrived(2, "b"))
    assert world.feed(EngineDown("b", "no module"))[1:] == [StopEngine("b", at_once=True)]
    world.feed(EngineStopped("b"))
    assert world.state("b") is EngineState.FAILED


def test_one_that_a_person_stops_while_it_prepares_stays_stopped() -> None:
    world = busy()
    world.feed(RequestArrived(2, "b"))
    assert StopEngine("b") in world.feed(StopAsked("b", "by ann"))
    world.feed(EngineStopped("b"))
    assert world.state("b") is EngineState.STOPPED


def test_one_that_leaves_the_gate_is_waited_for_again() -> None:
    world = busy()
    world.feed(RequestArrived(2, "b"), GateAsked("b"), GateLeft("b"))
    world.after(51)
    world.feed(RequestEnded(1))
    assert world.feed(EngineStopped("a")) == []
    assert world.feed(GateAsked("b")) == [OpenGate("b", (CARD,), 30 * GIB)]


def test_processes_that_people_started_are_let_in_one_after_the_other_as_they_came() -> None:
    world = World(a=10, b=10, limits=worlds.LIMITS)
    world.feed(RequestArrived(1, "a"))
    world.after(1, GateAsked("b"))
    assert world.after(1, GateAsked("a")) == [OpenGate("a", (CARD,), 10 * GIB)]
    assert world.feed(EngineReady("a")) == [Grant(1), OpenGate("b", (CARD,), 10 * GIB)]
    late = World(a=10, b=10, c=10, limits=worlds.LIMITS)
    late.feed(RequestArrived(1, "c"), GateAsked("c"))
    late.after(1, GateAsked("b"))
    late.after(1, GateAsked("a"))
    assert late.feed(EngineReady("c")) == [Grant(1), OpenGate("b", (CARD,), 10 * GIB)]
    assert late.feed(EngineReady("b")) == [OpenGate("a", (CARD,), 10 * GIB)]
