"""What people are shown of an engine."""

from proxy.core import parking
from proxy.core.costs import Costs
from proxy.core.messages import (
    CostsRemembered,
    EngineDown,
    EngineReady,
    EngineStopped,
    GateAsked,
    GateReached,
    PhaseBegun,
    RequestArrived,
    RequestEnded,
)
from proxy.core.methods import Method
from proxy.core.views import view
from tests.core.boards import Stage, ladder
from tests.core.world import SlowWorld, gib


def test_it_is_where_it_is_and_holds_what_it_holds() -> None:
    stage = Stage({"a": ladder(10)})
    stage.asleep("a", "y", now=3.0)
    seen = view(stage.board, stage["a"], 8.0)
    assert (seen.state, seen.in_state_s, seen.devices) == ("asleep", 5.0, ("y",))
    assert (seen.reserved_bytes, seen.pinned_bytes, seen.parked_bytes) == (gib(1), gib(10), 0)


def test_a_parked_one_says_what_its_process_takes() -> None:
    stage = Stage({"a": ladder(10)})
    stage.parked("a", at_gate=True)
    assert view(stage.board, stage["a"], 0.0).parked_bytes == parking.PRIOR_BYTES
    stage["a"].costs.parked_bytes = 5
    assert view(stage.board, stage["a"], 0.0).parked_bytes == 5


def test_which_phase_of_a_start_is_under_way() -> None:
    world = SlowWorld(a=30)

    def phase() -> str | None:
        [seen] = world.scheduler.view(0.0)
        return seen.phase

    assert phase() is None
    for _ in range(2):
        world.feed(RequestArrived(1, "a"), GateAsked("a"))
        assert phase() == "import"
        world.feed(GateReached("a"))
        assert phase() == "config"
        world.feed(PhaseBegun("a", "weights"))
        assert phase() == "weights"
        world.feed(EngineReady("a"))
        assert phase() is None
        world.feed(RequestEnded(1), EngineDown("a", "signal 9"), EngineStopped("a"))


def test_why_nothing_is_done_ahead_is_said_also_by_the_next_proxy() -> None:
    world = SlowWorld(a=30)
    [seen] = world.scheduler.view(0.0)
    assert seen.starts_plainly is None
    world.feed(CostsRemembered("a", Costs(is_plain_only=True)))
    [seen] = world.scheduler.view(0.0)
    assert seen.starts_plainly == "an earlier start failed where a plain one did not"


def test_what_the_process_at_the_gate_waits_for() -> None:
    world = SlowWorld(a=30, b=30)
    world.feed(RequestArrived(1, "a"), GateAsked("a"), GateReached("a", Method.PLAIN), GateAsked("b"))
    waits_for = {seen.model: seen.waits_for for seen in world.scheduler.view(0.0)}
    assert waits_for["a"] is None
    assert waits_for["b"] == "it needs 30.00 GiB; held on card (40.00 GiB for models): a 30.00"
