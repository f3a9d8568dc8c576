from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import inf

import pytest
from hypothesis import given, strategies as st

from proxy.core import victims
from proxy.core.devices import Placing
from proxy.core.offers import Candidate, Demand, Eviction, Rung, Way
from proxy.core.policy import loss
from proxy.core.queue import Waits
from proxy.core.victims import MOST_STEPS, cheapest

STOP = Way(Rung.STOP, leave_s=3.0, return_s=60.0)
LEVEL_1 = Way(Rung.LEVEL_1, keeps_bytes=1, pins_bytes=8, leave_s=3.0, return_s=2.0)
LEVEL_2 = Way(Rung.LEVEL_2, keeps_bytes=1, leave_s=0.5, return_s=8.0)
LADDER = (LEVEL_1, LEVEL_2, STOP)
WANTED = Demand("wanted", 10, (("x",),), enter_s=20.0, usual_s=5.0, oldest_s=4.0, waits=Waits(1.0, 4.0, 16.0))


def one(model: str, amount: int, on: str = "x", ways: tuple[Way, ...] = (STOP,), **facts: float | bool) -> Candidate:
    """Who is asked for once in a quarter of an hour, unless said otherwise."""
    facts = {"rate": 1 / 900, **facts}
    return replace(Candidate(model, Placing(tuple(on), amount), ways), **facts)  # type: ignore[arg-type]


def sleeper(model: str, rate: float, pinned: int = 8, amount: int = 1) -> Candidate:
    return one(model, amount, rate=rate, is_asleep=True, pinned_bytes=pinned, back_s=2.0)


def leaving(
    candidates: Sequence[Candidate], short: int, host_room: int = 0, wanted: Demand = WANTED
) -> dict[str, Rung] | None:
    chosen = cheapest(wanted, candidates, {"x": short}, host_room)
    return None if chosen is None else {model: way.rung for model, way in sorted(chosen.ways.items())}


# --- who leaves ---------------------------------------------------------------------------------------------------


def test_nobody_leaves_where_nothing_is_short_or_all_together_are_too_few() -> None:
    candidates = [one("a", 10), one("b", 10)]
    assert leaving(candidates, 0) == {}
    assert leaving(candidates, -5) == {}
    assert leaving(candidates, 20) == {"a": Rung.STOP, "b": Rung.STOP}
    assert leaving(candidates, 21) is None
    assert leaving([], 1) is None


def test_where_nobody_has_to_leave_it_costs_nothing() -> None:
    assert cheapest(WANTED, [one("a", 10)], {"x": 0, "y": -3}, 0) == Eviction({})


def test_what_is_free_beyond_the_need_on_one_device_does_not_help_on_another() -> None:
    candidates = [one("on_x", 10), one("on_y", 10, "y")]
    chosen = cheapest(WANTED, candidates, {"x": -20, "y": 5}, 0)
    assert chosen is not None
    assert list(chosen.ways) == ["on_y"]
    assert cheapest(WANTED, [one("on_x", 10)], {"x": -20, "y": 5}, 0) is None


def test_one_on_two_devices_frees_both() -> None:
    candidates = [one("on_x", 10), one("on_y", 10, "y"), one("on_both", 10, "xy")]
    chosen = cheapest(WANTED, candidates, {"x": 5, "y": 5}, 0)
    assert chosen is not None
    assert list(chosen.ways) == ["on_both"], "one is missed instead of two"


def test_of_equals_the_one_leaves_that_has_been_unused_longest() -> None:
    candidates = [one("new", 10, last_used_at=9.0), one("old", 10, last_used_at=1.0), one("mid", 10, last_used_at=5.0)]
    assert leaving(candidates, 10) == {"old": Rung.STOP}
    assert leaving(candidates, 11) == {"mid": Rung.STOP, "old": Rung.STOP}


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = [one("b", 10), one("a", 10)]
    assert leaving(candidates, 5) == leaving(candidates[::-1], 5) == {"a": Rung.STOP}


def test_how_soon_it_could_be_gone_counts_for_those_who_wait() -> None:
    """Nobody asks for either of them any more."""
    candidates = [one("slow", 10, rate=0.0), one("quick", 10, ways=(LEVEL_2, STOP), rate=0.0, last_used_at=9.0)]
    assert leaving(candidates, 5) == {"quick": Rung.LEVEL_2}
    assert leaving(candidates, 5, wanted=replace(WANTED, waits=Waits())) == {"slow": Rung.STOP}


def test_a_large_one_that_is_seldom_wanted_leaves_before_two_small_ones() -> None:
    candidates = [one("a", 10), one("b", 10), one("large", 20)]
    assert leaving(candidates, 11) == {"large": Rung.STOP}
    assert leaving([*candidates[:2], one("large", 20, rate=1 / 60)], 11) == {"a": Rung.STOP, "b": Rung.STOP}


def test_one_that_drains_already_goes_on_draining() -> None:
    candidates = [one("idle", 10), one("draining", 10, drain_s=5.0, is_draining=True, last_used_at=9.0)]
    assert leaving(candidates, 5, wanted=replace(WANTED, waits=Waits())) == {"draining": Rung.STOP}


def test_a_sleeper_keeps_its_little_unless_it_is_needed() -> None:
    candidates = [sleeper("asleep", 1 / 900, pinned=0, amount=2), one("awake", 10)]
    assert leaving(candidates, 11) == {"asleep": Rung.STOP, "awake": Rung.STOP}
    assert leaving(candidates, 10) == {"awake": Rung.STOP}


def test_a_resident_one_counts_for_nothing_but_for_who_is_due_or_a_person() -> None:
    candidates = [one("resident", 10, is_resident=True), one("other", 10, rate=1.0)]
    assert leaving(candidates, 5) == {"other": Rung.STOP}
    assert leaving(candidates, 11) is None
    assert leaving(candidates, 5, wanted=replace(WANTED, is_due=True)) == {"resident": Rung.STOP}
    assert leaving(candidates, 5, wanted=replace(WANTED, is_pressing=True)) == {"resident": Rung.STOP}


def test_what_it_costs_and_how_long_it_takes_is_told_of_all_who_leave() -> None:
    """Both drain at the same time; then one goes down after the other."""
    a = one("a", 10, drain_s=5.0, idle_s=9.0, waits=Waits(1.0, 1.0, 1.0), oldest_s=1.0)  # type: ignore[arg-type]
    b = one("b", 10, drain_s=2.0, idle_s=7.5, ways=(LEVEL_2, STOP))
    chosen = cheapest(WANTED, [a, b], {"x": 19}, 0)
    assert chosen is not None
    lost = [loss(a, STOP, WANTED), loss(b, LEVEL_2, WANTED)]
    assert chosen.ways == {"a": STOP, "b": LEVEL_2}
    assert (chosen.clear_s, chosen.later_s) == (5.0 + 3.0 + 0.5, 9.0 - 5.0)
    assert chosen.all_s2 == pytest.approx(sum(each.all_s2 for each in lost))
    assert chosen.usual_s2 == pytest.approx(sum(each.usual_s2 for each in lost))
    assert chosen.drain_s2 == pytest.approx(sum(each.drain_s2 for each in lost)) != 0.0
    assert chosen.hold_s == lost[0].hold_s > 0.0
    idle = cheapest(WANTED, [replace(a, idle_s=1.0)], {"x": 5}, 0)
    assert idle is not None
    assert idle.later_s == 0.0, "a moment without requests that comes before the drain has ended"


# --- how far down -------------------------------------------------------------------------------------------------


def test_an_engine_sleeps_at_level_1_where_the_host_has_room_and_at_level_2_where_it_has_not() -> None:
    candidate = one("a", 10, ways=LADDER)
    assert leaving([candidate], 9, host_room=8) == {"a": Rung.LEVEL_1}
    assert leaving([candidate], 9, host_room=7) == {"a": Rung.LEVEL_2}
    assert leaving([one("a", 10, ways=(LEVEL_1, STOP))], 9, host_room=7) == {"a": Rung.STOP}


def test_an_engine_stops_where_what_it_would_keep_asleep_is_needed_too() -> None:
    assert leaving([one("a", 10, ways=LADDER)], 10, host_room=99) == {"a": Rung.STOP}


def test_of_two_victims_the_one_that_is_missed_most_gets_the_host_memory() -> None:
    both = [one("seldom", 10, ways=LADDER, rate=0.001), one("often", 10, ways=LADDER, rate=0.1)]
    assert leaving(both, 18, host_room=8) == {"often": Rung.LEVEL_1, "seldom": Rung.LEVEL_2}
    assert leaving(both, 18, host_room=16) == {"often": Rung.LEVEL_1, "seldom": Rung.LEVEL_1}
    assert leaving(both, 19, host_room=99) == {"often": Rung.LEVEL_1, "seldom": Rung.STOP}


def test_a_victim_that_stops_gives_what_it_has_pinned_to_another() -> None:
    again = (replace(LEVEL_1, pins_bytes=0), *LADDER[1:])
    both = [one("seldom", 10, ways=again, rate=0.001, pinned_bytes=8), one("often", 10, ways=LADDER, rate=0.1)]
    assert leaving(both, 19) == {"often": Rung.LEVEL_1, "seldom": Rung.STOP}


def test_what_an_engine_has_pinned_already_is_not_asked_for_twice() -> None:
    again = (replace(LEVEL_1, pins_bytes=0), *LADDER[1:])
    assert leaving([one("a", 10, ways=again, pinned_bytes=8)], 9, host_room=-3) == {"a": Rung.LEVEL_1}


def test_a_sleeper_that_is_missed_less_gives_its_host_memory_up_and_never_the_reverse() -> None:
    victim = one("a", 10, ways=LADDER, rate=0.1)
    assert leaving([sleeper("seldom", 1e-5), victim], 9) == {"a": Rung.LEVEL_1, "seldom": Rung.STOP}
    assert leaving([sleeper("often", 0.1), victim], 9) == {"a": Rung.LEVEL_2}
    assert leaving([sleeper("seldom", 1e-5, pinned=7), victim], 9) == {"a": Rung.LEVEL_2}, "that is not enough"
    assert leaving([sleeper("seldom", 1e-5, pinned=7), victim], 9, host_room=1) == {
        "a": Rung.LEVEL_1,
        "seldom": Rung.STOP,
    }


def test_no_more_sleepers_are_dropped_than_needed_the_least_missed_first() -> None:
    asleep = [sleeper("b", 2e-5), sleeper("c", 3e-5), sleeper("a", 1e-5)]
    victim = one("v", 10, ways=LADDER, rate=0.1)
    assert leaving([*asleep, victim], 9) == {"a": Rung.STOP, "v": Rung.LEVEL_1}
    assert leaving([replace(each, pinned_bytes=4) for each in asleep] + [victim], 9) == {
        "a": Rung.STOP,
        "b": Rung.STOP,
        "v": Rung.LEVEL_1,
    }


def test_a_sleeper_is_dropped_once_and_the_model_that_is_wanted_is_not_dropped_for_itself() -> None:
    pair = [one("v", 10, ways=LADDER, rate=0.1), one("w", 10, ways=LADDER, rate=0.2)]
    assert leaving([sleeper("a", 1e-5), *pair], 18) == {"a": Rung.STOP, "v": Rung.LEVEL_2, "w": Rung.LEVEL_1}
    assert leaving([sleeper("wanted", 1e-5), pair[0]], 9) == {"v": Rung.LEVEL_2}


# --- the cheapest of all ------------------------------------------------------------------------------------------


def delay_s2(candidate: Candidate, wanted: Demand) -> float:
    """What those who wait lose by this one's drain and leave, to the first order."""
    seconds = candidate.drain_s + min(way.leave_s for way in candidate.ways)
    return 2.0 * seconds * (wanted.waits.sum_s + wanted.enter_s * wanted.waits.weight)


def cost(candidate: Candidate, way: Way, wanted: Demand) -> float:
    return loss(candidate, way, wanted).all_s2 + delay_s2(candidate, wanted)


def is_enough(ways: Iterable[tuple[Candidate, Way]], short: dict[str, int]) -> bool:
    freed = dict.fromkeys(short, 0)
    for candidate, way in ways:
        for device in set(candidate.placing.devices) & set(short):
            freed[device] += candidate.placing.bytes - way.keeps_bytes
    return all(freed[device] >= missing for device, missing in short.items() if missing > 0)


def least_cost(candidates: Sequence[Candidate], short: dict[str, int], wanted: Demand) -> float:
    """The same by trying everything; infinity where nothing is enough."""
    able = [each for each in candidates if wanted.is_due or wanted.is_pressing or not each.is_resident]
    paid = [[(None, 0.0), *((way, cost(each, way, wanted)) for way in each.ways)] for each in able]
    least = inf
    for picks in product(*paid):
        ways = [(each, way) for each, (way, _) in zip(able, picks, strict=True) if way is not None]
        if is_enough(ways, short):
            least = min(least, sum(price for _, price in picks))
    return least


free_sleep = replace(LEVEL_1, pins_bytes=0)
ways = st.sampled_from(
    [(STOP,), (LEVEL_2, STOP), (free_sleep, LEVEL_2, STOP), (replace(free_sleep, keeps_bytes=4), STOP)]
)
engines = st.lists(
    st.builds(
        one,
        st.text("abcdefgh", min_size=1, max_size=3),
        st.integers(2, 20),
        st.sampled_from(["x", "y", "xy", "z"]),
        ways,
        rate=st.sampled_from([0.0, 0.001, 0.01, 0.5]),
        drain_s=st.sampled_from([0.0, 4.0, 30.0]),
        waits=st.sampled_from([Waits(), Waits(2.0, 5.0, 13.0)]),
        is_draining=st.booleans(),
        is_resident=st.booleans(),
        last_used_at=st.integers(0, 3).map(float),
    ),
    max_size=4,
    unique_by=lambda candidate: candidate.model,
)
demands = st.builds(
    replace, st.just(WANTED), is_due=st.booleans(), waits=st.sampled_from([Waits(), Waits(3.0, 9.0, 40.0)])
)


@given(engines, demands, st.integers(-5, 40), st.integers(-5, 40))
def test_it_is_the_cheapest_of_all_sets_on_all_their_ways_and_nobody_in_it_is_superfluous(
    candidates: list[Candidate], wanted: Demand, x: int, y: int
) -> None:
    short = {"x": x, "y": y}
    chosen = cheapest(wanted, candidates, short, 0)
    least = least_cost(candidates, short, wanted)
    if chosen is None:
        assert least == inf
        return
    leavers = [(each, chosen.ways[each.model]) for each in candidates if each.model in chosen.ways]
    assert is_enough(leavers, short)
    assert all(way in each.ways for each, way in leavers)
    assert sum(cost(each, way, wanted) for each, way in leavers) == pytest.approx(least)
    for superfluous in leavers:
        assert not is_enough([each for each in leavers if each is not superfluous], short)


pinning = st.sampled_from([(STOP,), LADDER, (LEVEL_1, STOP), (free_sleep, LEVEL_2, STOP)])
with_host = st.lists(
    st.builds(
        one,
        st.text("abcdefgh", min_size=1, max_size=3),
        st.integers(2, 20),
        st.just("x"),
        pinning,
        rate=st.sampled_from([0.0, 0.001, 0.01, 0.5]),
        pinned_bytes=st.integers(0, 9),
        is_asleep=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda candidate: candidate.model,
).map(lambda drawn: [replace(each, ways=(STOP,)) if each.is_asleep else each for each in drawn])


@given(with_host, st.integers(1, 60), st.integers(-9, 30))
def test_no_more_host_memory_is_pinned_than_there_is_or_is_given_back(
    candidates: list[Candidate], short: int, host_room: int
) -> None:
    chosen = cheapest(WANTED, candidates, {"x": short}, host_room)
    every = sum(each.placing.bytes for each in candidates)
    assert (chosen is None) == (short > every)
    if chosen is None:
        return
    leavers = [(each, chosen.ways[each.model]) for each in candidates if each.model in chosen.ways]
    assert is_enough(leavers, {"x": short})
    given_back = sum(each.pinned_bytes for each, way in leavers if way.rung is Rung.STOP)
    pinned = sum(way.pins_bytes for way in chosen.ways.values())
    assert pinned <= max(0, host_room + given_back)


# --- on a machine with very many engines --------------------------------------------------------------------------


def test_the_search_ends_after_so_many_steps_and_has_found_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    search = victims._search

    def counting(*args: object) -> None:
        nonlocal calls
        calls += 1
        search(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(victims, "_search", counting)
    many = [one(f"m{n:02}", 5 + n % 7, ways=LADDER, rate=(1 + n * 7 % 13) / 900) for n in range(60)]
    for short in (40, 150, sum(each.placing.bytes for each in many)):
        calls = 0
        chosen = cheapest(WANTED, many, {"x": short}, 0)
        assert chosen is not None
        assert is_enough([(each, chosen.ways[each.model]) for each in many if each.model in chosen.ways], {"x": short})
        assert calls <= 1 + MOST_STEPS * (len(LADDER) + 1)
    assert calls > len(many)
