from collections.abc import Iterable
from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.placement import Candidate, Demand, choose_victims, plan


def one(model: str, amount: int, *, idle: bool = True, draining: bool = False, used: float = 0.0) -> Candidate:
    return Candidate(model, amount, is_idle=idle, is_draining=draining, last_used_at=used)


def names(chosen: Iterable[Candidate]) -> list[str]:
    return sorted(candidate.model for candidate in chosen)


def freed(chosen: Iterable[Candidate]) -> int:
    return sum(candidate.bytes for candidate in chosen)


engines = st.lists(
    st.builds(
        Candidate,
        model=st.text("abcdefgh", min_size=1, max_size=3),
        bytes=st.integers(0, 20),
        is_idle=st.booleans(),
        is_draining=st.booleans(),
        last_used_at=st.integers(0, 3).map(float),
    ),
    max_size=7,
    unique_by=lambda candidate: candidate.model,
)
wanted = st.lists(st.integers(0, 30), max_size=5).map(
    lambda amounts: [Demand(f"d{number}", amount) for number, amount in enumerate(amounts)]
)


def test_the_least_recently_used_idle_engine_leaves() -> None:
    candidates = [one("new", 10, used=9), one("old", 10, used=1), one("mid", 10, used=5)]
    assert names(choose_victims(candidates, 10)) == ["old"]
    assert names(choose_victims(candidates, 11)) == ["mid", "old"]


def test_a_busy_engine_leaves_only_if_the_idle_are_not_enough() -> None:
    candidates = [one("busy", 20, idle=False, used=1), one("idle", 10, used=9)]
    assert names(choose_victims(candidates, 10)) == ["idle"]
    assert names(choose_victims(candidates, 11)) == ["busy"], "the idle one became superfluous, so it stays"
    assert names(choose_victims(candidates, 21)) == ["busy", "idle"]


def test_of_those_that_turn_out_superfluous_the_most_recently_used_stays() -> None:
    candidates = [one("a", 5, used=1), one("b", 5, used=2), one("c", 10, used=3)]
    assert names(choose_victims(candidates, 12)) == ["a", "c"]


def test_among_the_busy_one_that_drains_already_goes_on_draining() -> None:
    candidates = [one("a", 10, idle=False, used=1), one("b", 10, idle=False, draining=True, used=9)]
    assert names(choose_victims(candidates, 5)) == ["b"]


def test_nobody_leaves_where_nothing_is_short_or_all_together_are_too_few() -> None:
    candidates = [one("a", 10), one("b", 10)]
    assert choose_victims(candidates, 0) == []
    assert choose_victims(candidates, -5) == []
    assert choose_victims(candidates, 21) == []
    assert choose_victims([], 1) == []


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = [one("b", 10), one("a", 10)]
    assert names(choose_victims(candidates, 5)) == names(choose_victims(candidates[::-1], 5)) == ["a"]


@given(engines, st.integers(-5, 80))
@example([one("small", 5, used=1), one("large", 20, used=2)], 20)
def test_victims_free_enough_and_none_of_them_is_superfluous(candidates: list[Candidate], short: int) -> None:
    chosen = choose_victims(candidates, short)
    assert len(set(names(chosen))) == len(chosen)
    assert set(chosen) <= set(candidates)
    if chosen:
        assert freed(chosen) >= short > 0
        assert all(freed(chosen) - leaver.bytes < short for leaver in chosen)
    else:
        assert short <= 0 or freed(candidates) < short


@given(engines, st.integers(1, 80))
def test_no_busy_engine_leaves_while_the_idle_ones_would_do(candidates: list[Candidate], short: int) -> None:
    if freed(candidate for candidate in candidates if candidate.is_idle) >= short:
        assert all(leaver.is_idle for leaver in choose_victims(candidates, short))


@given(wanted, engines, st.integers(-10, 60))
def test_a_plan_covers_a_prefix_of_the_demands_and_is_never_overdrawn(
    demands: list[Demand], candidates: list[Candidate], room: int
) -> None:
    made = plan(demands, candidates, room)
    assert list(made.covered) == demands[: len(made.covered)], "no demand overtakes an earlier one"
    assert made.victims <= {candidate.model for candidate in candidates}
    total = room + freed(candidate for candidate in candidates if candidate.model in made.victims)
    if made.covered:
        assert sum(demand.bytes for demand in made.covered) <= total
    else:
        assert made.victims == frozenset(), "nobody leaves for a demand that does not fit anyway"
    if len(made.covered) < len(demands):
        following = sum(demand.bytes for demand in demands[: len(made.covered) + 1])
        assert room + freed(candidates) < following, "it stops only where even all of them are not enough"


@given(wanted, engines, st.integers(0, 60))
def test_where_everything_fits_already_nobody_leaves(
    demands: list[Demand], candidates: list[Candidate], spare: int
) -> None:
    made = plan(demands, candidates, sum(demand.bytes for demand in demands) + spare)
    assert (made.victims, list(made.covered)) == (frozenset(), demands)


@given(st.integers(1, 30), engines, st.integers(0, 30))
def test_for_one_demand_no_smaller_part_of_the_victims_would_do(
    amount: int, candidates: list[Candidate], room: int
) -> None:
    victims = plan([Demand("d", amount)], candidates, room).victims
    leaving = [candidate for candidate in candidates if candidate.model in victims]
    for part in combinations(leaving, max(0, len(leaving) - 1)):
        assert not leaving or room + freed(part) < amount


def test_a_later_demand_goes_ahead_in_room_that_no_earlier_one_waits_for() -> None:
    made = plan([Demand("first", 30), Demand("second", 10)], [one("a", 30, idle=False)], room_bytes=10)
    assert made.covered == (Demand("first", 30), Demand("second", 10))
    assert made.victims == {"a"}


def test_a_demand_that_cannot_be_met_holds_the_later_ones_and_evicts_nobody() -> None:
    made = plan([Demand("huge", 50), Demand("small", 1)], [one("a", 30)], room_bytes=10)
    assert (made.victims, made.covered) == (frozenset(), ())


def test_the_room_that_a_victim_leaves_over_serves_the_next_demand() -> None:
    made = plan([Demand("x", 5), Demand("y", 5)], [one("a", 10, used=1), one("b", 10, used=2)], room_bytes=0)
    assert made.victims == {"a"}
    assert len(made.covered) == 2
