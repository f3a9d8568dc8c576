from dataclasses import replace
from math import inf

import pytest

from proxy.core.costs import PRIOR_SERVICE_S, PRIOR_START_S, PRIOR_STOP_S, PRIOR_WAKE_S
from proxy.core.demands import (
    candidate_of,
    coming_host,
    coming_room,
    demand_of,
    enter_s,
    room_of,
    sleeps,
    standings,
    usual_s,
)
from proxy.core.devices import Placing, Strangers
from proxy.core.errors import BlockedByOthers
from proxy.core.messages import CloseGate, Reject
from proxy.core.offers import Candidate, Demand, Rung, Way
from proxy.core.queue import Waits
from proxy.core.states import EngineState
from tests.core.boards import CARDS, LIMITS, Stage, ladder
from tests.core.world import GIB, gib


def demanded(stage: Stage, model: str, now: float) -> Demand:
    made = demanded_or_none(stage, model, now)
    assert made is not None
    return made


def demanded_or_none(stage: Stage, model: str, now: float) -> Demand | None:
    room = room_of(stage.board)
    standing = {one.model: one for one in standings(stage.board, room, 0.0, now)}
    return demand_of(stage.board, standing[model], room, now, is_due=False) if model in standing else None


def offered(stage: Stage, model: str, now: float = 0.0) -> Candidate:
    return candidate_of(stage.board, stage[model], now)


# --- who wants room -----------------------------------------------------------------------------------------------


def test_a_model_that_is_wanted_needs_its_peak_where_it_fits_and_says_who_waits_since_when() -> None:
    stage = Stage({"a": ladder(10, peak=11)})
    stage.wait("a", 7, since=4.0, priority=2.0)
    stage.wait("a", 8, since=5.0)
    made = demanded(stage, "a", 6.0)
    assert made.gap_s == pytest.approx(1e9), "nobody has asked for it before"
    assert replace(made, gap_s=0.0) == Demand(
        "a",
        11 * GIB,
        (("x",), ("y",)),
        enter_s=PRIOR_START_S,
        usual_s=PRIOR_WAKE_S[1],
        waits=Waits(3.0, 5.0, 9.0),
        oldest_s=2.0,
        slack_s=LIMITS.max_wait_s - 2.0,
        since=(4.0, 7),
    )


def test_it_may_wait_no_longer_than_its_oldest_ticket_has_left() -> None:
    stage = Stage({"a": ladder(10)})
    stage.wait("a", 7, since=4.0)
    assert demanded(stage, "a", 4.0 + LIMITS.max_wait_s).slack_s == 0.0
    assert demanded(stage, "a", 5.0 + LIMITS.max_wait_s).slack_s == -1.0


def test_the_time_between_its_requests_is_what_it_has_learned() -> None:
    stage = Stage({"a": ladder(10)})
    for at in (0.0, 60.0):
        stage["a"].costs.note_request(at)
    stage.wait("a", 1, since=60.0)
    assert demanded(stage, "a", 60.0).gap_s == pytest.approx(90.0)


def test_a_larger_one_fits_on_fewer_devices() -> None:
    stage = Stage({"a": ladder(10, peak=13)})
    stage.wait("a", 7, since=0.0)
    assert demanded(stage, "a", 0.0).choices == (("x",),)


def test_a_sleeper_needs_what_it_has_given_back_and_on_its_own_devices_only() -> None:
    stage = Stage({"a": ladder(10, peak=11)})
    stage.asleep("a", "y", level=2)
    stage.wait("a", 7, since=0.0)
    made = demanded(stage, "a", 0.0)
    assert (made.bytes, made.choices) == (9 * GIB, (("y",),))
    assert (made.enter_s, made.usual_s) == (PRIOR_WAKE_S[2], PRIOR_WAKE_S[1])


def test_how_long_it_takes_to_come_up_depends_on_where_it_stands() -> None:
    stage = Stage({"a": ladder(10)})
    stage["a"].costs.note_prepare(20.0)
    stage["a"].costs.note_load(10.0)
    assert enter_s(stage["a"]) == 30.0
    stage.parked("a")
    assert enter_s(stage["a"]) == 30.0
    stage["a"].is_at_gate = True
    assert enter_s(stage["a"]) == 10.0, "its imports are done"


def test_how_long_it_usually_takes_is_a_wake_from_the_best_level_that_is_open_to_it_or_a_start() -> None:
    stage = Stage({"sleeps": ladder(10), "never": ladder(10, levels=())})
    for engine in (stage["sleeps"], stage["never"]):
        engine.costs.note_load(30.0)
    stage["sleeps"].costs.note_wake(2, 1.5)
    assert (usual_s(stage["sleeps"], 0.0), usual_s(stage["never"], 0.0)) == (1.5, 30.0)
    stage["sleeps"].failed_sleeps = {2: 2}
    assert usual_s(stage["sleeps"], 0.0) == PRIOR_WAKE_S[1]


def test_what_a_person_asks_for_is_pressing_and_waits_since_it_stands_at_the_gate() -> None:
    stage = Stage({"a": ladder(10)})
    stage.board.stand_at_gate(stage["a"], 3.0)
    made = demanded(stage, "a", 5.0)
    assert (made.is_pressing, made.since, made.oldest_s) == (True, (3.0, 0), 2.0)
    stage.board.stand_at_gate(stage["a"], None)
    stage.wait("a", 7, since=4.0)
    assert not demanded(stage, "a", 5.0).is_pressing


def test_what_is_to_start_ahead_is_modest_until_somebody_waits_for_it() -> None:
    stage = Stage({"a": ladder(10)})
    stage["a"].preload_until = inf
    stage.board.note_demand(stage["a"])
    made = demanded(stage, "a", 5.0)
    assert (made.is_modest, made.slack_s, made.since, made.waits.weight) == (True, inf, (5.0, 0), 0.0)
    stage.wait("a", 7, since=4.0)
    assert not demanded(stage, "a", 5.0).is_modest


# --- strangers ----------------------------------------------------------------------------------------------------


def seen(stage: Stage, **taken: float) -> None:
    stage.board.ledger.note_strangers({device: Strangers(gib(amount)) for device, amount in taken.items()})


def test_a_device_that_strangers_fill_is_none_of_its_choices() -> None:
    stage = Stage({"a": ladder(10)})
    stage.wait("a", 7, since=0.0)
    seen(stage, y=3)
    assert demanded(stage, "a", 0.0).choices == (("x",),)
    assert stage["a"].blocked_since is None


def test_where_strangers_leave_it_no_room_it_waits_for_a_moment_and_then_all_are_sent_away() -> None:
    stage = Stage({"a": ladder(10)})
    stage.wait("a", 7, since=0.0)
    stage.board.stand_at_gate(stage["a"], 0.0)
    seen(stage, x=15, y=3)
    for now in (2.0, 12.0):
        assert demanded_or_none(stage, "a", now) is None
        assert (stage.board.commands, stage["a"].blocked_since) == ([], 2.0)
    assert demanded_or_none(stage, "a", 12.1) is None
    rejected, closed = stage.board.commands
    assert isinstance(rejected, Reject)
    assert isinstance(closed, CloseGate)
    assert isinstance(rejected.error, BlockedByOthers)
    assert stage["a"].blocked_since is None, "who comes next is given its own moment"


def test_room_that_comes_back_ends_the_moment_of_patience() -> None:
    stage = Stage({"a": ladder(10)})
    stage.wait("a", 7, since=0.0)
    seen(stage, x=15, y=3)
    assert demanded_or_none(stage, "a", 2.0) is None
    seen(stage, x=0)
    assert demanded(stage, "a", 11.0).choices == (("x",),)
    seen(stage, x=15)
    assert demanded_or_none(stage, "a", 13.0) is None
    assert stage["a"].blocked_since == 13.0


def test_a_sleeper_whose_room_was_taken_stops_to_start_elsewhere_if_there_is_room_elsewhere() -> None:
    stage = Stage({"a": ladder(10)})
    stage.asleep("a", "y")
    stage.wait("a", 7, since=0.0)
    seen(stage, x=15, y=3)
    assert demanded_or_none(stage, "a", 1.0) is None
    assert (stage["a"].is_asked, stage["a"].blocked_since) == (False, 1.0)
    seen(stage, x=0)
    assert demanded_or_none(stage, "a", 2.0) is None
    assert (stage["a"].is_asked, stage["a"].rung) == (True, Rung.STOP)
    assert "strangers took its room" in stage["a"].why


# --- who could make it --------------------------------------------------------------------------------------------


def test_an_engine_that_serves_offers_its_sleeps_and_its_end_and_tells_how_much_it_is_wanted() -> None:
    stage = Stage({"a": ladder(10, peak=11, priority=3.0)})
    engine = stage.ready("a", now=2.0, leases=[1])
    engine.last_used_at = 5.0
    engine.costs.note_request(8.0)
    stage.wait("a", 7, since=8.0)
    stage.wait("a", 8, since=9.0)
    made = offered(stage, "a", 10.0)
    assert made.ways == (
        Way(Rung.LEVEL_1, GIB, 10 * GIB, leave_s=3.0, return_s=2.0),
        Way(Rung.LEVEL_2, GIB, 0, leave_s=0.5, return_s=8.0),
        Way(Rung.STOP, leave_s=PRIOR_STOP_S, return_s=PRIOR_START_S),
    )
    assert (made.model, made.placing) == ("a", Placing(("x",), 10 * GIB))
    assert made.rate == pytest.approx(3.0 / 600.0), "one of priority 3 counts for three"
    assert (made.waits, made.oldest_s, made.last_used_at) == (Waits(2.0, 3.0, 5.0), 2.0, 5.0)
    assert (made.is_draining, made.is_asleep, made.pinned_bytes, made.back_s) == (False, False, 0, 0.0)
    assert made.drain_s == PRIOR_SERVICE_S
    assert made.idle_s == engine.costs.expected_idle_s(1, 10.0) > PRIOR_SERVICE_S


def test_one_that_nobody_uses_is_idle_at_once() -> None:
    stage = Stage({"a": ladder(10)})
    stage.ready("a")
    assert (offered(stage, "a").drain_s, offered(stage, "a").idle_s, offered(stage, "a").oldest_s) == (0.0, 0.0, 0.0)


def test_a_sleeper_can_only_stop_and_would_be_back_by_a_wake() -> None:
    stage = Stage({"a": ladder(10)})
    stage.asleep("a", level=1)
    made = offered(stage, "a")
    assert (made.is_asleep, made.back_s, made.pinned_bytes) == (True, PRIOR_WAKE_S[1], 10 * GIB)
    assert [way.rung for way in made.ways] == [Rung.STOP]


def test_it_is_resident_until_it_has_been_ready_for_so_long_and_not_while_it_drains() -> None:
    stage = Stage({"a": ladder(10, min_residence_s=30.0)})
    engine = stage.ready("a", now=5.0)
    assert offered(stage, "a", 34.9).is_resident
    assert not offered(stage, "a", 35.0).is_resident
    stage.board.move(engine, EngineState.DRAINING, 6.0, "x")
    made = offered(stage, "a", 7.0)
    assert (made.is_resident, made.is_draining) == (False, True)


def test_a_level_1_sleep_pins_only_what_is_not_pinned_yet() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.ready("a")
    for held, more in ((4, 6), (10, 0), (11, 0)):
        stage.board.ledger.adopt_pinned("a", held * GIB)
        assert [way.pins_bytes for way in sleeps(stage.board, engine, (1, 2))] == [more * GIB, 0]


# --- what is there ------------------------------------------------------------------------------------------------


def room(stage: Stage) -> dict[str, float]:
    return {device: amount / GIB for device, amount in coming_room(stage.board).items()}


def test_room_is_what_is_free_and_what_those_give_back_who_are_leaving() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(5), "c": ladder(4)})
    stage.stopping("a", "x")
    stage.falling_asleep("b", "x", level=2)
    stage.ready("c", "y")
    assert room(stage) == {"x": 24 - 1, "y": 12 - 4}


def test_who_drains_gives_room_back_only_where_a_person_asked_since_a_decision_may_be_taken_back() -> None:
    stage = Stage({"a": ladder(10)})
    engine = stage.draining("a", "x")
    engine.rung = Rung.STOP
    assert room(stage)["x"] == 14
    engine.is_asked = True
    assert room(stage)["x"] == 24
    engine.rung = Rung.LEVEL_2
    assert room(stage)["x"] == 23


def test_a_start_or_a_wake_that_is_under_way_gives_nothing_back() -> None:
    stage = Stage({"a": ladder(10, peak=12), "b": ladder(5)})
    stage.starting("a", "x")
    stage.board.wake(stage.asleep("b", "y"), 1.0, "x")
    assert room(stage) == {"x": 12, "y": 7}


def test_strangers_make_room_less_than_nothing() -> None:
    stage = Stage({"a": ladder(10)})
    stage.ready("a", "y")
    seen(stage, y=5)
    assert room(stage) == {"x": 24, "y": -3}


def test_the_host_has_what_is_free_and_what_those_pin_who_are_stopping() -> None:
    stage = Stage({"a": ladder(10), "b": ladder(5)}, cards=CARDS, host=25)
    stage.asleep("a", "x")
    assert coming_host(stage.board) == 15 * GIB
    stage.asleep("b", "y")
    assert coming_host(stage.board) == 5 * GIB
    stage.board.stop(stage["a"], 1.0, "x")
    assert coming_host(stage.board) == 15 * GIB
    stage.board.ledger.release("a")
    stage.board.move(stage["a"], EngineState.STOPPED, 2.0, "x")
    assert coming_host(stage.board) == 15 * GIB, "not counted twice"
