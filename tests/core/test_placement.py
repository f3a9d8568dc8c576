from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.devices import Placing
from proxy.core.placement import Candidate, Demand, Rung, Way, choose_victims, plan

STOP = (Way(Rung.STOP),)
LADDER = (Way(Rung.LEVEL_1, keeps_bytes=1, pins_bytes=8), Way(Rung.LEVEL_2, keeps_bytes=1), Way(Rung.STOP))


def one(
    model: str,
    amount: int,
    *on: str,
    idle: bool = True,
    draining: bool = False,
    asleep: bool = False,
    used: float = 0.0,
    ways: tuple[Way, ...] = STOP,
    pinned: int = 0,
) -> Candidate:
    return Candidate(model, Placing(on or ("x",), amount), ways, idle, draining, asleep, used, pinned)


def demand(model: str, amount: int, *choices: str) -> Demand:
    """A choice is the devices' letters: "xy" is x and y together."""
    return Demand(model, amount, tuple(tuple(choice) for choice in choices or ("x",)))


def victims(candidates: list[Candidate], short: int) -> dict[str, Rung] | None:
    chosen = choose_victims(candidates, {"x": short}, host_room=0)
    return None if chosen is None else {model: way.rung for model, way in sorted(chosen.items())}


def freed(candidates: list[Candidate], ways: Mapping[str, Way], device: str) -> int:
    return sum(
        one.placing.bytes - ways[one.model].keeps_bytes
        for one in candidates
        if one.model in ways and device in one.placing.devices
    )


# --- who leaves ---------------------------------------------------------------------------------------------------


def test_the_least_recently_used_idle_engine_leaves() -> None:
    candidates = [one("new", 10, used=9), one("old", 10, used=1), one("mid", 10, used=5)]
    assert victims(candidates, 10) == {"old": Rung.STOP}
    assert victims(candidates, 11) == {"mid": Rung.STOP, "old": Rung.STOP}


def test_a_busy_engine_leaves_only_if_the_idle_are_not_enough() -> None:
    candidates = [one("busy", 20, idle=False, used=1), one("idle", 10, used=9)]
    assert victims(candidates, 10) == {"idle": Rung.STOP}
    assert victims(candidates, 11) == {"busy": Rung.STOP}, "the idle one became superfluous, so it stays"
    assert victims(candidates, 21) == {"busy": Rung.STOP, "idle": Rung.STOP}


def test_of_those_that_turn_out_superfluous_the_most_recently_used_stays() -> None:
    assert victims([one("a", 5, used=1), one("b", 5, used=2), one("c", 10, used=3)], 12) == {
        "a": Rung.STOP,
        "c": Rung.STOP,
    }


def test_among_the_busy_one_that_drains_already_goes_on_draining() -> None:
    candidates = [one("a", 10, idle=False, used=1), one("b", 10, idle=False, draining=True, used=9)]
    assert victims(candidates, 5) == {"b": Rung.STOP}


def test_one_that_sleeps_keeps_its_little_while_one_that_is_awake_and_idle_can_make_the_room() -> None:
    candidates = [one("asleep", 2, asleep=True, used=1), one("awake", 10, used=9)]
    assert victims(candidates, 2) == {"awake": Rung.STOP}
    assert victims(candidates, 11) == {"asleep": Rung.STOP, "awake": Rung.STOP}


def test_nobody_leaves_where_nothing_is_short_or_all_together_are_too_few() -> None:
    candidates = [one("a", 10), one("b", 10)]
    assert victims(candidates, 0) == {}
    assert victims(candidates, -5) == {}
    assert victims(candidates, 21) is None
    assert victims([], 1) is None


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = [one("b", 10), one("a", 10)]
    assert victims(candidates, 5) == victims(candidates[::-1], 5) == {"a": Rung.STOP}


# --- how far down -------------------------------------------------------------------------------------------------


def test_an_engine_sleeps_at_level_1_where_the_host_has_room_and_at_level_2_where_it_has_not() -> None:
    sleeper = one("a", 10, ways=LADDER)
    assert choose_victims([sleeper], {"x": 9}, host_room=8) == {"a": LADDER[0]}
    assert choose_victims([sleeper], {"x": 9}, host_room=7) == {"a": LADDER[1]}


def test_an_engine_stops_where_what_it_would_keep_asleep_is_needed_too() -> None:
    assert choose_victims([one("a", 10, ways=LADDER)], {"x": 10}, host_room=99) == {"a": LADDER[2]}


def test_of_two_victims_the_one_used_last_gets_the_host_memory() -> None:
    both = [one("old", 10, used=1, ways=LADDER), one("new", 10, used=2, ways=LADDER)]
    assert choose_victims(both, {"x": 18}, host_room=8) == {"new": LADDER[0], "old": LADDER[1]}
    assert choose_victims(both, {"x": 19}, host_room=99) == {"new": LADDER[0], "old": LADDER[2]}


def test_a_sleeper_used_longer_ago_gives_its_host_memory_up_for_a_newer_one_and_never_the_reverse() -> None:
    older = one("older", 1, asleep=True, used=1, pinned=8)
    assert choose_victims([older, one("a", 10, used=5, ways=LADDER)], {"x": 9}, host_room=0) == {
        "a": LADDER[0],
        "older": Way(Rung.STOP),
    }
    assert choose_victims([older, one("a", 10, used=0, ways=LADDER)], {"x": 9}, host_room=0) == {"a": LADDER[1]}


def test_what_an_engine_has_pinned_already_is_not_asked_for_twice() -> None:
    again = (Way(Rung.LEVEL_1, keeps_bytes=1, pins_bytes=0), *LADDER[1:])
    assert choose_victims([one("a", 10, ways=again, pinned=8)], {"x": 9}, host_room=0) == {"a": again[0]}


# --- where --------------------------------------------------------------------------------------------------------


def places(demands: list[Demand], candidates: list[Candidate], **room: int) -> dict[str, str]:
    made = plan(demands, candidates, room, host_room=0)
    return {demand.model: "".join(devices) for demand, devices in made.covered}


def test_best_fit_a_small_model_takes_the_small_card_and_leaves_the_large_one_whole() -> None:
    assert places([demand("light", 6, "x", "y")], [], x=24, y=12) == {"light": "y"}
    assert places([demand("light", 13, "x", "y")], [], x=24, y=12) == {"light": "x"}


def test_two_that_fill_a_card_share_it_and_the_light_one_takes_the_other() -> None:
    """The seed set-up: a 24 GB card, a 12 GB card with a little less for models, two 12 GB models, a light one."""
    demands = [demand(name, size, "x", "y") for name, size in (("first", 12), ("light", 6), ("second", 12))]
    assert places(demands, [], x=24, y=11) == {"first": "x", "light": "y", "second": "x"}


def test_free_room_anywhere_is_taken_before_anybody_leaves() -> None:
    idle = one("idle", 10, "x")
    made = plan([demand("new", 10, "x", "y")], [idle], {"x": 0, "y": 40}, host_room=0)
    assert (made.victims, made.covered[0][1]) == ({}, ("y",))


def test_where_somebody_must_leave_it_is_on_the_device_of_the_longest_unused() -> None:
    candidates = [one("new", 10, "x", used=9), one("old", 10, "y", used=1), one("busy", 10, "z", idle=False)]
    made = plan([demand("d", 10, "x", "y", "z")], candidates, {"x": 0, "y": 0, "z": 0}, host_room=0)
    assert (list(made.victims), made.covered[0][1]) == (["old"], ("y",))


def test_a_model_on_two_devices_gets_both_or_none() -> None:
    assert places([demand("tp", 10, "xy")], [], x=10, y=9) == {}
    assert places([demand("tp", 10, "xy", "xz", "yz")], [], x=10, y=9, z=10) == {"tp": "xz"}
    made = plan([demand("tp", 10, "xy")], [one("a", 5, "y")], {"x": 10, "y": 5}, host_room=0)
    assert list(made.victims) == ["a"]


def test_a_demand_that_cannot_be_met_holds_the_later_ones_on_its_devices_and_evicts_nobody() -> None:
    demands = [demand("huge", 50, "x"), demand("small", 1, "x"), demand("elsewhere", 1, "y")]
    made = plan(demands, [one("a", 30)], {"x": 10, "y": 10}, host_room=0)
    assert (made.victims, [d.model for d, _ in made.covered]) == ({}, ["elsewhere"])


def test_a_later_demand_goes_ahead_in_room_that_no_earlier_one_waits_for() -> None:
    made = plan([demand("first", 30), demand("second", 10)], [one("a", 30, idle=False)], {"x": 10}, host_room=0)
    assert [d.model for d, _ in made.covered] == ["first", "second"]
    assert set(made.victims) == {"a"}


def test_the_room_that_a_victim_leaves_over_serves_the_next_demand() -> None:
    candidates = [one("a", 10, used=1), one("b", 10, used=2)]
    made = plan([demand("p", 5), demand("q", 5)], candidates, {"x": 0}, host_room=0)
    assert set(made.victims) == {"a"}
    assert len(made.covered) == 2


def test_a_sleeper_that_is_wanted_itself_does_not_leave_for_a_later_demand() -> None:
    sleeper = one("a", 1, asleep=True)
    made = plan([demand("a", 9), demand("b", 10)], [sleeper], {"x": 9}, host_room=0)
    assert (made.victims, [d.model for d, _ in made.covered]) == ({}, ["a"])


def test_a_sleeper_that_must_leave_for_an_earlier_demand_is_not_woken_in_the_same_breath() -> None:
    made = plan([demand("b", 10), demand("a", 9)], [one("a", 1, asleep=True)], {"x": 9}, host_room=0)
    assert ([*made.victims], [d.model for d, _ in made.covered]) == (["a"], ["b"])


# --- whatever the numbers -----------------------------------------------------------------------------------------

devices = st.sampled_from(["x", "y", "z"])
amount = st.integers(0, 20)
engines = st.lists(
    st.builds(
        one,
        st.text("abcdefgh", min_size=1, max_size=3),
        st.integers(2, 20),
        devices,
        idle=st.booleans(),
        draining=st.booleans(),
        asleep=st.booleans(),
        used=st.integers(0, 3).map(float),
        ways=st.sampled_from([STOP, LADDER]),
        pinned=st.integers(0, 5),
    ),
    max_size=7,
    unique_by=lambda candidate: candidate.model,
).map(lambda drawn: [replace(one, is_idle=True) if one.is_asleep else one for one in drawn])  # no leases in its sleep
choices = st.lists(st.sampled_from(["x", "y", "z", "xy", "yz"]), min_size=1, max_size=3, unique=True)
wanted = st.lists(st.tuples(st.integers(0, 30), choices), max_size=5).map(
    lambda drawn: [demand(f"d{number}", size, *where) for number, (size, where) in enumerate(drawn)]
)
rooms = st.fixed_dictionaries({device: st.integers(-10, 40) for device in "xyz"})


@given(engines, st.integers(-5, 80), st.integers(0, 30))
def test_victims_free_enough_and_none_of_them_is_superfluous(
    candidates: list[Candidate], short: int, host: int
) -> None:
    chosen = choose_victims(candidates, {"x": short}, host)
    every = sum(one.placing.bytes for one in candidates if "x" in one.placing.devices)
    if chosen is None:
        assert short > max(0, every)
    elif not chosen:
        assert short <= 0
    else:
        assert freed(candidates, chosen, "x") >= short > 0
        leaving = [one for one in candidates if one.model in chosen and "x" in one.placing.devices]
        assert sum(way.pins_bytes for way in chosen.values()) <= host + sum(
            one.pinned_bytes for one in candidates if one.model in chosen
        )
        chosen_for_room = [one for one in leaving if not (one.is_asleep and one.pinned_bytes)]  # or for host memory
        for leaver in chosen_for_room:
            rest = sum(one.placing.bytes for one in chosen_for_room) - leaver.placing.bytes
            assert rest < short


@given(engines, st.integers(1, 80))
def test_no_busy_engine_leaves_while_the_idle_ones_would_do(candidates: list[Candidate], short: int) -> None:
    idle = [one for one in candidates if one.is_idle and "x" in one.placing.devices]
    if sum(one.placing.bytes for one in idle) >= short:
        chosen = choose_victims(candidates, {"x": short}, 0) or {}
        assert all(one.is_idle for one in candidates if one.model in chosen)


@given(wanted, engines, rooms, st.integers(0, 30))
def test_a_plan_is_never_overdrawn_on_any_device(
    demands: list[Demand], candidates: list[Candidate], room: dict[str, int], host: int
) -> None:
    made = plan(demands, candidates, room, host)
    assert set(made.victims) <= {candidate.model for candidate in candidates}
    for device in room:
        taken = sum(demand.bytes for demand, where in made.covered if device in where)
        assert not taken or taken <= room[device] + freed(candidates, made.victims, device)
    if not made.covered:
        assert made.victims == {}, "nobody leaves for a demand that does not fit anyway"


@given(wanted, st.integers(0, 60))
def test_where_everything_fits_already_nobody_leaves_and_all_are_covered(demands: list[Demand], spare: int) -> None:
    total = sum(demand.bytes for demand in demands) + spare
    made = plan(demands, [one("a", 5)], dict.fromkeys("xyz", total), 0)
    assert (made.victims, [demand for demand, _ in made.covered]) == ({}, demands)


@given(st.integers(1, 30), engines, st.integers(0, 30))
def test_for_one_demand_no_smaller_part_of_the_victims_would_do(
    size: int, candidates: list[Candidate], room: int
) -> None:
    candidates = [one for one in candidates if not one.pinned_bytes]
    made = plan([demand("d", size)], candidates, {"x": room}, 0)
    leaving = [one for one in candidates if one.model in made.victims]
    for part in combinations(leaving, max(0, len(leaving) - 1)):
        assert not leaving or room + sum(one.placing.bytes for one in part) < size
