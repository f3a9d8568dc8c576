"""Processes at the gate before anybody waits: who, how many, and when they go."""

from dataclasses import replace

import pytest

from proxy.core import parking
from proxy.core.costs import Costs
from proxy.core.messages import (
    CostsRemembered,
    EngineDown,
    EngineFound,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateLeft,
    GateReached,
    HostSeen,
    OpenGate,
    PreloadAsked,
    RequestArrived,
    RequestEnded,
    StartEngine,
    StopAsked,
    StopEngine,
    StrangersSeen,
    Tick,
    VllmChanged,
)
from proxy.core.methods import Method
from proxy.core.states import EngineState
from proxy.core.terms import Terms
from tests.core.world import CARD, LIMITS, SlowWorld, amounts, gib, needs

PARKS = replace(LIMITS, parks=True, overlap=True)


def box(host: float = 2, sizes: dict[str, float] | None = None, sleeps: bool = False) -> SlowWorld:
    """A card of 40 GiB, and so much host memory for sleepers and the parked together."""
    world = SlowWorld()
    levels = (1,) if sleeps else ()
    wanted = {
        name: needs(amounts(size, 1 if sleeps else 0, host=1.8 if sleeps else 0), {CARD: 40}, levels=levels)
        for name, size in (sizes or {"a": 30, "b": 30, "c": 30}).items()
    }
    world.set_up({CARD: 40}, wanted, PARKS, host=host)
    return world


def reach(world: SlowWorld, model: str, method: Method = Method.FORK, host: float = 0.6) -> list[object]:
    """Its process has imported all."""
    world.feed(GateAsked(model))
    return [*world.feed(GateReached(model, method, gib(host)))]


def ahead(model: str) -> StartEngine:
    return StartEngine(model, is_ahead=True)


def states(world: SlowWorld) -> str:
    return " ".join(f"{model}={state}" for model, state in world.scheduler.states().items())


def test_one_after_the_other_as_many_as_the_host_has_memory_for() -> None:
    world = box(host=2)
    assert world.feed(Tick()) == [ahead("a")]
    assert world.feed(Tick()) == [], "one import at a time"
    assert reach(world, "a") == [ahead("b")]
    assert reach(world, "b") == [ahead("c")]
    assert reach(world, "c") == []
    assert states(world) == "a=parked b=parked c=parked"
    assert world.reserved() == {}
    world = box(host=1)
    assert world.feed(Tick()) == [ahead("a")]
    assert reach(world, "a") == []
    assert states(world) == "a=parked b=stopped c=stopped"


def test_of_those_that_nobody_has_asked_for_only_a_few_are_parked() -> None:
    sizes = dict.fromkeys("abcdef", 5.0)
    world = box(host=50, sizes=sizes)
    world.feed(Tick())
    for model in "abc":
        reach(world, model)
    assert reach(world, "d") == []
    world.feed(RequestArrived(1, "f"))
    reach(world, "f")
    world.feed(GateLeft("f"), EngineReady("f"), RequestEnded(1), EngineDown("f", "signal 9"))
    assert world.feed(EngineStopped("f")) == [ahead("f")], "but who is asked for"
    assert states(world) == "a=parked b=parked c=parked d=parked e=stopped f=parked"


def test_those_that_are_asked_for_take_none_of_these_places() -> None:
    world = box(host=50, sizes=dict.fromkeys("abcdefg", 5.0))
    for model in "fg":
        world.feed(CostsRemembered(model, Costs(gap_s=100.0)))
    world.feed(Tick())
    for model in "fgabc":
        assert len(reach(world, model)) == 1
    assert reach(world, "d") == []
    assert states(world) == "a=parked b=parked c=parked d=parked e=stopped f=parked g=parked"


def test_what_was_asked_for_before_the_proxy_was_restarted_counts_until_it_is_again() -> None:
    world = box(host=1)
    world.feed(CostsRemembered("b", Costs(gap_s=1000.0)), CostsRemembered("c", Costs(gap_s=10.0)))
    assert world.feed(Tick()) == [ahead("c")]
    reach(world, "c")
    assert world.feed(Tick()) == [], "a is never asked for, and b less often"


def test_nobody_is_parked_before_it_is_known_who_runs_already() -> None:
    world = box(sizes={"a": 30})
    assert world.feed(StrangersSeen({})) == []
    assert world.feed(EngineFound("a", (CARD,)), Tick()) == []
    assert world.state("a") is EngineState.STARTING


def test_the_setting_turns_it_off() -> None:
    world = box()
    world.set_up({CARD: 40}, {"a": needs(amounts(30), {CARD: 40})}, replace(PARKS, parks=False), host=2)
    assert world.feed(Tick()) == []


def test_a_request_opens_the_gate_at_once_and_whoever_made_room_is_parked_again() -> None:
    world = box(host=2, sizes={"a": 30, "b": 30})
    world.feed(Tick())
    reach(world, "a")
    reach(world, "b")
    (opened,) = world.feed(RequestArrived(1, "a"))
    assert isinstance(opened, OpenGate)
    world.feed(GateLeft("a"), EngineReady("a"), RequestEnded(1))
    assert world.feed(RequestArrived(2, "b")) == [StopEngine("a")]
    assert [type(one) for one in world.feed(EngineStopped("a"))] == [OpenGate], "no import beside a start"
    assert world.feed(GateLeft("b"), EngineReady("b"))[-1] == ahead("a")
    assert reach(world, "a") == []
    assert states(world) == "a=parked b=ready"


PHASES = {"config": 2.0, "weights": 5.0}


def test_for_what_was_imported_ahead_nobody_has_waited() -> None:
    world = box(sizes={"a": 30})
    world.feed(Tick(), GateAsked("a"))
    world.after(9, GateReached("a", Method.FORK))
    world.feed(RequestArrived(1, "a"), GateLeft("a"), EngineReady("a", PHASES))
    assert world.scheduler.costs("a").phases == PHASES


def test_for_the_rest_of_an_import_somebody_has() -> None:
    world = box(sizes={"a": 30})
    world.feed(Tick(), GateAsked("a"))
    world.after(4, RequestArrived(1, "a"))
    world.after(5, GateReached("a", Method.FORK))
    world.feed(GateLeft("a"), EngineReady("a", PHASES))
    assert world.scheduler.costs("a").phases == {"import": 5.0} | PHASES


def test_what_one_takes_is_measured_and_counts_for_the_next() -> None:
    world = box(host=2)
    world.feed(Tick())
    assert reach(world, "a", host=1.5) == [], "of 2 GiB 0.5 are left"
    assert world.scheduler.costs("a").parked_bytes == gib(1.5)
    assert gib(0.625) == parking.PRIOR_BYTES


def test_the_likeliest_come_first_and_take_the_place_of_others() -> None:
    world = box(host=1, sizes={"a": 30, "b": 30})
    world.feed(Tick())
    reach(world, "a")
    world.feed(RequestArrived(1, "b"))
    reach(world, "b")
    world.feed(GateLeft("b"), EngineReady("b"), RequestEnded(1), StopAsked("b", "by ann"))
    assert world.feed(EngineStopped("b")) == [], "what a person stopped stays stopped"
    world.feed(RequestArrived(2, "b", by_hand="by ann"))
    reach(world, "b")
    world.feed(GateLeft("b"), EngineReady("b"), RequestEnded(2), EngineDown("b", "signal 9"))
    assert world.feed(EngineStopped("b")) == [StopEngine("a")]
    assert "its place at the gate is b's" in str(world.scheduler.explain("a", world.now))
    assert world.feed(EngineStopped("a")) == [ahead("b")]


def test_sleepers_come_first() -> None:
    world = box(host=2, sizes={"a": 30, "b": 30}, sleeps=True)
    world.feed(Tick())
    reach(world, "a")
    world.feed(RequestArrived(1, "a"), GateLeft("a"))
    world.after(30, EngineReady("a"))
    world.feed(RequestEnded(1))
    reach(world, "b")
    assert states(world) == "a=ready b=parked"
    world.feed(RequestArrived(2, "b"))
    world.after(60)
    assert states(world) == "a=falling_asleep b=parked", "who is waited for keeps its place"


def test_a_preload_that_has_no_room_keeps_nobody_from_being_parked_and_is_parked_itself() -> None:
    world = box(host=2)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), GateLeft("a"), EngineReady("a"))
    world.feed(PreloadAsked("b"))
    assert world.feed(Tick()) == [ahead("b")]
    assert reach(world, "b") == [ahead("c")]
    reach(world, "c")
    assert world.feed(EngineDown("b", "signal 9")) == [StopEngine("b", at_once=True)]
    world.feed(EngineStopped("b"))
    assert world.state("b") is EngineState.STOPPED, "it is left alone for a while, as others that end while parked"
    world.after(60)
    assert states(world) == "a=ready b=parked c=parked"
    assert world.feed(HostSeen(is_short=True)) == [StopEngine("c"), StopEngine("b")]


def test_a_preload_that_has_room_comes_first() -> None:
    world = box(host=2)
    assert world.feed(PreloadAsked("b"), Tick()) == []
    assert states(world) == "a=stopped b=starting c=stopped"


def test_a_queue_at_an_engine_that_serves_keeps_nobody_from_being_parked() -> None:
    world = box(host=2, sizes={"a": 30, "b": 5})
    world.scheduler._board.engines["a"].needs = replace(
        world.scheduler._board.engines["a"].needs, terms=Terms(concurrency=1)
    )
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), GateLeft("a"), EngineReady("a"))
    world.feed(RequestArrived(2, "a"))
    assert world.feed(Tick()) == [ahead("b")]


def test_who_waits_for_room_keeps_the_others_from_an_import() -> None:
    world = box(host=2)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a"), GateLeft("a"), EngineReady("a"))
    assert world.feed(RequestArrived(2, "b")) == [StartEngine("b")]
    reach(world, "b")
    assert world.feed(Tick()) == []
    assert states(world) == "a=ready b=parked c=stopped"


def test_a_host_that_is_short_has_none_and_takes_none() -> None:
    world = box()
    world.feed(Tick())
    reach(world, "a")
    reach(world, "b")
    world.feed(GateAsked("c"), GateReached("c", Method.FORK))
    assert world.feed(HostSeen(is_short=True)) == [StopEngine("a"), StopEngine("b"), StopEngine("c")]
    assert world.feed(EngineStopped("a"), EngineStopped("b"), EngineStopped("c")) == []
    assert world.feed(HostSeen(is_short=False)) == []
    assert world.after(59) == []
    assert world.after(1) == [ahead("a")]


def test_a_host_that_is_short_again_and_again_is_left_alone_for_longer() -> None:
    world = box(sizes={"a": 30})
    world.feed(Tick())
    for again_s in (60, 120, 240):
        reach(world, "a")
        assert world.feed(HostSeen(is_short=True)) == [StopEngine("a")]
        world.feed(EngineStopped("a"), HostSeen(is_short=False))
        assert world.after(again_s - 1) == []
        assert world.after(1) == [ahead("a")]


def test_nobody_is_parked_whose_memory_would_make_the_host_short() -> None:
    world = box(host=50)
    world.feed(HostSeen(is_short=False, spare_bytes=parking.PRIOR_BYTES - 1))
    assert world.feed(Tick()) == []
    assert world.feed(HostSeen(is_short=False, spare_bytes=parking.PRIOR_BYTES)) == [ahead("a")]


def test_one_that_is_killed_keeps_nobody_waiting_and_comes_back_later() -> None:
    world = box(sizes={"a": 30})
    world.feed(Tick())
    reach(world, "a")
    assert world.feed(EngineDown("a", "signal 9")) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == []
    assert world.state("a") is EngineState.STOPPED
    assert world.after(59) == []
    assert world.feed(RequestArrived(1, "a")) == [StartEngine("a")], "it keeps nobody from a start"
    assert [type(one) for one in reach(world, "a")] == [OpenGate]
    world.feed(GateLeft("a"), EngineReady("a"), RequestEnded(1), EngineDown("a", "signal 9"))
    world.feed(EngineStopped("a"))
    assert world.state("a") is EngineState.PARKED


@pytest.mark.parametrize("method", [Method.PLAIN])
def test_one_that_could_do_nothing_ahead_is_of_no_use(method: Method) -> None:
    world = box(sizes={"a": 30})
    world.feed(Tick())
    assert reach(world, "a", method) == [StopEngine("a", at_once=True)]
    assert world.feed(EngineStopped("a")) == []
    assert "nothing could be imported ahead" in str(world.scheduler.explain("a", world.now))


def test_what_has_imported_a_vllm_that_was_replaced_is_parked_anew() -> None:
    world = box(sizes={"a": 30})
    assert world.feed(Tick(), VllmChanged("a")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [ahead("a")]
    reach(world, "a")
    assert world.feed(VllmChanged("a")) == [StopEngine("a")]
    assert world.feed(EngineStopped("a")) == [ahead("a")]
    reach(world, "a")
    assert [type(one) for one in world.feed(RequestArrived(1, "a"))] == [OpenGate]
    assert world.feed(VllmChanged("a")) == [], "bin/engine sees it itself"


def test_a_model_that_starts_only_plainly_is_not_parked() -> None:
    world = box(sizes={"a": 30})
    assert world.feed(CostsRemembered("a", Costs(is_plain_only=True)), Tick()) == []


def test_the_most_wanted_by_its_terms_goes_first_of_those_asked_as_often() -> None:
    world = box(sizes={"a": 10, "b": 10})
    wanted = {name: needs(amounts(10), {CARD: 40}) for name in "ab"}
    wanted["b"] = replace(wanted["b"], terms=Terms(priority=3.0))
    world.set_up({CARD: 40}, wanted, replace(PARKS, parks=False), host=2)
    board = world.scheduler._board
    for model in "ab":
        board.engines[model].costs.note_request(0.0)
    board.limits = PARKS
    assert world.feed(Tick()) == [ahead("b")]
