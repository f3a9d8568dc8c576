from collections.abc import Mapping
from dataclasses import replace
from math import inf

from hypothesis import given, strategies as st

from proxy.core.devices import Placing
from proxy.core.offers import Candidate, Demand, Plan, Rung, Way
from proxy.core.placement import MOST_PLANNED, plan
from proxy.core.policy import pain
from proxy.core.queue import Waits

STOP = Way(Rung.STOP, leave_s=3.0, return_s=60.0)
LADDER = (
    Way(Rung.LEVEL_1, keeps_bytes=1, pins_bytes=8, leave_s=3.0, return_s=2.0),
    Way(Rung.LEVEL_2, keeps_bytes=1, leave_s=0.5, return_s=8.0),
    STOP,
)


def one(model: str, amount: int, *on: str, ways: tuple[Way, ...] = (STOP,), **facts: float | bool | Waits) -> Candidate:
    """An engine that is seldom asked for, and idle, unless said otherwise."""
    return replace(
        Candidate(model, Placing(on or ("x",), amount), ways, rate=1 / 9000),
        **facts,  # type: ignore[arg-type]
    )


def busy(model: str, amount: int, *on: str) -> Candidate:
    """It is asked for every two seconds, and drains long: only who is due is worth that."""
    return one(model, amount, *on, rate=0.5, drain_s=30.0)


def asleep(model: str, amount: int, *on: str, pinned: int = 0) -> Candidate:
    return one(model, amount, *on, is_asleep=True, pinned_bytes=pinned, back_s=2.0)


def demand(model: str, amount: int, *choices: str, **facts: float | bool) -> Demand:
    """A choice is the devices' letters: "xy" is x and y together. Somebody has waited for it for a while."""
    facts = {"enter_s": 20.0, "usual_s": 5.0, "gap_s": 60.0, "oldest_s": 30.0, "slack_s": 90.0, **facts}
    some = Waits(1.0, 30.0, 900.0)
    return replace(
        Demand(model, amount, tuple(tuple(choice) for choice in choices or ("x",)), waits=some),
        **facts,  # type: ignore[arg-type]
    )


def modest(model: str, amount: int) -> Demand:
    return demand(model, amount, is_modest=True, slack_s=inf)


def served(made: Plan) -> list[str]:
    return [covered.demand.model for covered in made.covered]


def places(made: Plan) -> dict[str, str]:
    return {covered.demand.model: "".join(covered.devices) for covered in made.covered}


def rungs(made: Plan) -> dict[str, Rung]:
    return {model: way.rung for model, way in made.victims.items()}


def freed(candidates: list[Candidate], ways: Mapping[str, Way], device: str) -> int:
    return sum(
        one.placing.bytes - ways[one.model].keeps_bytes
        for one in candidates
        if one.model in ways and device in one.placing.devices
    )


# --- where --------------------------------------------------------------------------------------------------------


def test_best_fit_a_small_model_takes_the_small_card_and_leaves_the_large_one_whole() -> None:
    assert places(plan([demand("light", 6, "x", "y")], [], {"x": 24, "y": 12}, 0)) == {"light": "y"}
    assert places(plan([demand("light", 13, "x", "y")], [], {"x": 24, "y": 12}, 0)) == {"light": "x"}
    assert places(plan([demand("light", 6, "y", "x")], [], {"x": 12, "y": 12}, 0)) == {"light": "x"}, "always the same"


def test_two_that_fill_a_card_share_it_and_the_light_one_takes_the_other() -> None:
    """The seed set-up: a 24 GB card, a 12 GB card with a little less for models, two 12 GB models, a light one."""
    demands = [demand(name, size, "x", "y") for name, size in (("first", 12), ("light", 6), ("second", 12))]
    assert places(plan(demands, [], {"x": 24, "y": 11}, 0)) == {"first": "x", "light": "y", "second": "x"}


def test_free_room_anywhere_is_taken_before_anybody_leaves() -> None:
    made = plan([demand("new", 10, "x", "y")], [one("idle", 10)], {"x": 0, "y": 40}, 0)
    assert (made.victims, places(made)) == ({}, {"new": "y"})


def test_where_somebody_must_leave_it_is_where_that_costs_least() -> None:
    candidates = [one("often", 10, "x", rate=0.01), one("seldom", 10, "y"), busy("busy", 10, "z")]
    made = plan([demand("d", 10, "x", "y", "z")], candidates, dict.fromkeys("xyz", 0), 0)
    assert (rungs(made), places(made)) == ({"seldom": Rung.STOP}, {"d": "y"})


def test_a_long_drain_counts_where_it_is_decided_on_which_device() -> None:
    """Nobody asks for `draining` any more, but who waits would wait 30 s for its last request."""
    candidates = [one("idle", 10, "x"), one("draining", 10, "y", is_draining=True, drain_s=30.0)]
    made = plan([demand("d", 10, "x", "y")], candidates, {"x": 0, "y": 0}, 0)
    assert places(made) == {"d": "x"}


def test_of_equal_devices_the_one_with_the_longest_unused_engine_is_taken() -> None:
    candidates = [one("new", 10, "x", last_used_at=9.0), one("old", 10, "y", last_used_at=1.0)]
    made = plan([demand("d", 10, "x", "y")], candidates, {"x": 0, "y": 0}, 0)
    assert (rungs(made), places(made)) == ({"old": Rung.STOP}, {"d": "y"})
    used = {"a": 1.0, "b": 9.0, "c": 5.0, "e": 5.0}
    pairs = [one(model, 5, "x" if model in "ab" else "y", last_used_at=at) for model, at in used.items()]
    made = plan([demand("d", 10, "x", "y")], pairs, {"x": 0, "y": 0}, 0)
    assert places(made) == {"d": "y"}, "where the last of those who leave has been unused longest"


def test_a_model_on_two_devices_gets_both_or_none() -> None:
    assert places(plan([demand("tp", 10, "xy")], [], {"x": 10, "y": 9}, 0)) == {}
    made = plan([demand("tp", 10, "xy", "xz", "yz")], [], {"x": 10, "y": 9, "z": 10}, 0)
    assert places(made) == {"tp": "xz"}
    assert plan([demand("tp", 10, "xy"), demand("d", 1, "x")], [], {"x": 10, "y": 10}, 0).covered[1:] == ()
    assert list(plan([demand("tp", 10, "xy")], [one("a", 5, "y")], {"x": 10, "y": 5}, 0).victims) == ["a"]


# --- in which order -----------------------------------------------------------------------------------------------


def test_a_later_demand_goes_ahead_in_room_that_no_earlier_one_takes() -> None:
    demands = [demand("huge", 50), demand("small", 1)]
    made = plan(demands, [one("a", 30)], {"x": 10}, 0)
    assert (made.victims, served(made)) == ({}, ["small"])
    assert served(plan([demand("first", 10), demand("second", 1)], [], {"x": 10}, 0)) == ["first"]


def test_who_is_due_or_was_asked_for_by_a_person_holds_the_later_ones_on_its_devices_and_evicts_nobody() -> None:
    for first in (demand("huge", 50, is_due=True), demand("huge", 50, is_pressing=True)):
        demands = [first, demand("small", 1, "x", "y"), demand("elsewhere", 1, "y")]
        made = plan(demands, [one("a", 30)], {"x": 10, "y": 10}, 0)
        assert (made.victims, places(made)) == ({}, {"small": "y", "elsewhere": "y"})
        assert served(plan([first, demand("tp", 1, "xy")], [], {"x": 10, "y": 10}, 0)) == []


def test_a_demand_that_is_covered_takes_what_its_victims_free_and_a_later_one_takes_the_rest() -> None:
    made = plan([demand("first", 30), demand("second", 10)], [one("a", 30)], {"x": 10}, 0)
    assert (served(made), set(made.victims)) == (["first", "second"], {"a"})
    assert [set(covered.eviction.ways) for covered in made.covered] == [{"a"}, set()]
    candidates = [one("a", 10, last_used_at=1.0), one("b", 10, last_used_at=2.0)]
    made = plan([demand("p", 5), demand("q", 6)], candidates, {"x": 0}, 0)
    assert (served(made), set(made.victims)) == (["p", "q"], {"a", "b"})


def test_what_a_sleep_keeps_is_not_given_away_a_second_time() -> None:
    sleepy = one("a", 10, ways=LADDER[1:])
    assert served(plan([demand("p", 9), demand("q", 1)], [sleepy], {"x": 0}, 0)) == ["p"]
    assert served(plan([demand("p", 9), demand("q", 1)], [sleepy], {"x": 1}, 0)) == ["p", "q"]


def test_a_victim_leaves_once_and_pins_what_host_memory_there_is() -> None:
    both = [one("a", 10, "x", ways=LADDER), one("b", 10, "y", ways=LADDER)]
    demands = [demand("p", 9, "x"), demand("q", 9, "y")]
    assert rungs(plan(demands, both, {"x": 0, "y": 0}, 8)) == {"a": Rung.LEVEL_1, "b": Rung.LEVEL_2}
    assert rungs(plan(demands, both, {"x": 0, "y": 0}, 16)) == {"a": Rung.LEVEL_1, "b": Rung.LEVEL_1}
    gives = asleep("s", 9, "x", pinned=8)
    made = plan(demands, [gives, both[1]], {"x": 0, "y": 0}, 0)
    assert rungs(made) == {"s": Rung.STOP, "b": Rung.LEVEL_1}, "what the first has pinned serves the second"


def test_a_sleeper_that_is_wanted_itself_does_not_leave_for_a_later_demand_or_for_its_own() -> None:
    made = plan([demand("a", 9), demand("b", 1)], [asleep("a", 1)], {"x": 9}, 0)
    assert (made.victims, served(made)) == ({}, ["a"])
    assert plan([demand("a", 10)], [asleep("a", 1)], {"x": 9}, 0) == Plan()


def test_a_sleeper_that_must_leave_for_an_earlier_demand_is_not_woken_in_the_same_breath() -> None:
    made = plan([demand("b", 10), demand("a", 9)], [asleep("a", 1), one("c", 10)], {"x": 9}, 0)
    assert (list(made.victims), served(made)) == (["a"], ["b"])


def test_who_is_due_and_must_leave_first_itself_holds_its_devices() -> None:
    for due, those in ((True, ["b"]), (False, ["b", "c"])):
        demands = [demand("b", 10), demand("a", 9, is_due=due), demand("c", 1)]
        assert served(plan(demands, [asleep("a", 3)], {"x": 9}, 0)) == those


def test_no_more_than_so_many_demands_are_looked_at_in_one_decision() -> None:
    demands = [demand(f"d{number:02}", 1) for number in range(2 * MOST_PLANNED + 5)]
    assert served(plan(demands, [], {"x": 99}, 0)) == [one.model for one in demands[: 2 * MOST_PLANNED]]


# --- who has to wait ----------------------------------------------------------------------------------------------


def test_a_swap_that_is_not_worth_it_yet_is_held_off_and_told_with_its_cost() -> None:
    waiting = demand("waiting", 10)
    made = plan([waiting, demand("small", 1)], [busy("busy", 10)], {"x": 1}, 0)
    [held] = made.held_off
    assert (made.victims, served(made), held.demand) == ({}, ["small"], waiting)
    assert list(held.eviction.ways) == ["busy"]
    assert held.pain_s2 == pain(waiting, held.eviction) == (30.0 + 30.0 + 3.0 + 20.0) ** 2


def test_who_is_due_or_was_asked_for_by_a_person_is_not_held_off() -> None:
    for first in (demand("d", 10, is_due=True), demand("d", 10, is_pressing=True)):
        made = plan([first], [busy("busy", 10)], {"x": 0}, 0)
        assert (list(made.victims), made.held_off) == (["busy"], ())


def test_what_nobody_waits_for_takes_free_room_and_nobody_leaves_for_it() -> None:
    made = plan([modest("ahead", 10)], [one("idle", 10)], {"x": 9}, 0)
    assert (made.victims, served(made)) == ({}, [])
    assert served(plan([modest("ahead", 9)], [one("idle", 10)], {"x": 9}, 0)) == ["ahead"]


# --- whatever the numbers -----------------------------------------------------------------------------------------

devices = st.sampled_from(["x", "y", "z"])
engines = st.lists(
    st.one_of(
        st.builds(
            one,
            st.text("abcdefgh", min_size=1, max_size=3),
            st.integers(2, 20),
            devices,
            ways=st.sampled_from([(STOP,), LADDER]),
            rate=st.sampled_from([0.0, 1e-4, 0.5]),
            drain_s=st.sampled_from([0.0, 9.0]),
            is_draining=st.booleans(),
            is_resident=st.booleans(),
        ),
        st.builds(
            asleep, st.text("abcd", min_size=1, max_size=2), st.integers(0, 3), devices, pinned=st.integers(0, 9)
        ),
    ),
    max_size=7,
    unique_by=lambda candidate: candidate.model,
)
choices = st.lists(st.sampled_from(["x", "y", "z", "xy", "yz"]), min_size=1, max_size=3, unique=True)
kinds = st.sampled_from([{}, {"is_due": True}, {"is_pressing": True}, {"is_modest": True}])
wanted = st.lists(st.tuples(st.integers(0, 30), choices, kinds), max_size=5).map(
    lambda drawn: [demand(f"d{number}", size, *where, **kind) for number, (size, where, kind) in enumerate(drawn)]
)
rooms = st.fixed_dictionaries({device: st.integers(-10, 40) for device in "xyz"})


@given(wanted, engines, rooms, st.integers(-5, 30))
def test_a_plan_is_never_overdrawn_on_any_device_or_on_the_host(
    demands: list[Demand], candidates: list[Candidate], room: dict[str, int], host: int
) -> None:
    made = plan(demands, candidates, room, host)
    for device in room:
        taken = sum(covered.demand.bytes for covered in made.covered if device in covered.devices)
        assert not taken or taken <= room[device] + freed(candidates, made.victims, device)
    given_back = sum(one.pinned_bytes for one in candidates if made.victims.get(one.model) == STOP)
    assert sum(way.pins_bytes for way in made.victims.values()) <= max(0, host + given_back)


@given(wanted, engines, rooms, st.integers(-5, 30))
def test_who_leaves_leaves_for_one_who_is_served_and_everybody_is_told_of_once(
    demands: list[Demand], candidates: list[Candidate], room: dict[str, int], host: int
) -> None:
    made = plan(demands, candidates, room, host)
    leaving = [model for covered in made.covered for model in covered.eviction.ways]
    assert sorted(leaving) == sorted(made.victims), "nobody leaves twice, nobody for nothing"
    assert set(made.victims) <= {candidate.model for candidate in candidates}
    told = [*served(made), *(held.demand.model for held in made.held_off)]
    assert len(told) == len(set(told))
    for covered in made.covered:
        assert covered.devices in covered.demand.choices
        assert not (covered.demand.is_modest and covered.eviction.ways)


@given(wanted, st.integers(0, 60))
def test_where_everything_fits_already_nobody_leaves_and_all_are_covered(demands: list[Demand], spare: int) -> None:
    total = sum(demand.bytes for demand in demands) + spare
    made = plan(demands, [one("a", 5)], dict.fromkeys("xyz", total), 0)
    assert (made.victims, [covered.demand for covered in made.covered]) == ({}, demands)
