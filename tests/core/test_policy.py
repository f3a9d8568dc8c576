"""One part for each rule at the top of `policy.py`, in its numbers; the figures are worked out by hand."""

from dataclasses import replace
from math import exp, inf

import pytest

from proxy.core.devices import Placing
from proxy.core.offers import NOTHING, Candidate, Demand, Eviction, Rung, Standing, Way
from proxy.core.policy import HORIZON_S, in_order, is_worth, loss, pain
from proxy.core.queue import Waits
from proxy.core.victims import cheapest

STOP = Way(Rung.STOP, leave_s=2.0, return_s=3.0)
WAYS = {"victim": STOP}


def ordered_by(demands: list[Demand], clear_s: float, lanes: int) -> list[Demand]:
    """The demands in their order, with those marked that are due."""
    by_model = {one.model: one for one in demands}
    standing = [
        Standing(
            one.model,
            one.since,
            one.slack_s,
            one.enter_s,
            one.waits.weight,
            one.waits.sum_s,
            one.is_pressing,
            one.is_modest,
        )
        for one in demands
    ]
    return [replace(by_model[one.model], is_due=is_due) for one, is_due in in_order(standing, clear_s, lanes)]


def waits(*seconds: float) -> Waits:
    """Of tickets of weight one."""
    return Waits(float(len(seconds)), sum(seconds), sum(one * one for one in seconds))


def engine(model: str = "victim", **facts: float | bool | Waits) -> Candidate:
    return replace(Candidate(model, Placing(("x",), 10), (STOP,)), **facts)  # type: ignore[arg-type]


def demand(model: str = "d", **facts: float | bool | Waits | tuple[float, int]) -> Demand:
    return replace(Demand(model, 10, (("x",),)), **facts)  # type: ignore[arg-type]


# --- 1. pain ------------------------------------------------------------------------------------------------------


def test_those_who_wait_are_counted_as_they_will_stand_at_the_end_of_the_swap() -> None:
    wanted = demand(waits=waits(2.0, 3.0), enter_s=6.0)
    made = Eviction(WAYS, clear_s=4.0)
    assert pain(wanted, made) == 12.0**2 + 13.0**2
    assert pain(wanted, made, later_s=1.0) == 13.0**2 + 14.0**2


# --- 2. loss ------------------------------------------------------------------------------------------------------


def test_an_engine_that_leaves_is_missed_by_those_who_come_who_wait_and_who_come_next() -> None:
    """It drains 5 s, leaves in 2, the other comes in 10 (usually in 4), and it is back in 3: 20 s, usually 14."""
    leaver = engine(rate=0.01, drain_s=5.0, waits=waits(1.0), oldest_s=1.0)
    lost = loss(leaver, STOP, demand(enter_s=10.0, usual_s=4.0, oldest_s=7.0, slack_s=113.0))
    next_one = (1.0 - exp(-0.01 * HORIZON_S)) * 3.0**2
    assert lost.all_s2 == pytest.approx(0.01 * 20.0**3 / 3 + (21.0**2 - 1.0**2) + next_one)
    assert lost.usual_s2 == pytest.approx(0.01 * 14.0**3 / 3 + next_one)
    assert lost.drain_s2 == pytest.approx(0.01 * (14.0**3 - 9.0**3) / 3)


def test_one_that_nobody_wants_is_not_missed() -> None:
    assert loss(engine(rate=0.0, drain_s=5.0), STOP, demand(enter_s=10.0, usual_s=4.0)) == NOTHING


def test_a_sleeper_that_is_stopped_is_missed_by_how_much_later_it_is_back() -> None:
    """A start takes 60 s where its wake would have taken 2."""
    sleeper = engine(rate=0.01, is_asleep=True, back_s=2.0, waits=waits(1.0), drain_s=99.0, oldest_s=1.0)
    lost = loss(sleeper, replace(STOP, return_s=60.0), demand(enter_s=10.0))
    missed = 0.01 * (60.0**3 - 2.0**3) / 3
    next_one = (1.0 - exp(-0.01 * HORIZON_S)) * (60.0**2 - 2.0**2)
    assert lost.usual_s2 == pytest.approx(missed)
    assert lost.all_s2 == pytest.approx(missed + (61.0**2 - 3.0**2) + next_one)
    assert (lost.drain_s2, lost.hold_s) == (0.0, 0.0)


def test_a_sleeper_that_would_be_back_no_later_is_not_missed() -> None:
    sleeper = engine(rate=0.01, is_asleep=True, back_s=2.0, waits=waits(1.0))
    assert loss(sleeper, replace(STOP, return_s=1.0), demand()) == NOTHING


# --- 3. ripe ------------------------------------------------------------------------------------------------------


def test_requests_gather_for_a_trip_until_another_moment_costs_more_than_it_saves() -> None:
    """One waits w, the swap takes 10 s, one comes every 20 s; with x = w + 10, 2·x·(20 + x) = 2100 + x² at x = 30."""
    made = Eviction(WAYS, usual_s2=2100.0, all_s2=1e9, clear_s=4.0)

    def after(w: float) -> Demand:
        return demand(waits=waits(w), oldest_s=w, gap_s=20.0, enter_s=6.0, slack_s=100.0 - w)

    assert not is_worth(after(19.9), made)
    assert is_worth(after(20.0), made)


def test_the_more_there_are_who_wait_the_sooner_a_trip_is_ripe() -> None:
    made = Eviction(WAYS, usual_s2=2100.0, clear_s=4.0)
    assert not is_worth(demand(waits=waits(10.0), oldest_s=10.0, gap_s=20.0, enter_s=6.0), made)
    assert is_worth(demand(waits=waits(10.0, 10.0), oldest_s=10.0, gap_s=20.0, enter_s=6.0), made)


# --- 4. idle moments ----------------------------------------------------------------------------------------------


def test_a_moment_without_requests_is_waited_for_until_that_costs_more_than_the_drain_would() -> None:
    """It is expected 2 s after the drain would have ended: (30 + 2)² - 30² = 124."""
    wanted = demand(waits=waits(20.0), oldest_s=20.0, gap_s=20.0, enter_s=6.0)
    assert is_worth(wanted, Eviction(WAYS, drain_s2=124.0, clear_s=4.0, later_s=2.0))
    assert not is_worth(wanted, Eviction(WAYS, drain_s2=124.1, clear_s=4.0, later_s=2.0))
    assert not is_worth(wanted, Eviction(WAYS, drain_s2=0.1, clear_s=4.0, later_s=0.0)), "it is idle at once"


# --- 5. victims ---------------------------------------------------------------------------------------------------


def test_who_is_missed_least_makes_the_room_and_a_long_drain_is_the_waiters_loss_too() -> None:
    wanted = demand(waits=waits(30.0), enter_s=10.0)
    often, seldom = engine("often", rate=0.02), engine("seldom", rate=0.01)
    chosen = cheapest(wanted, [often, seldom], {"x": 10}, 0)
    assert chosen is not None
    assert list(chosen.ways) == ["seldom"]
    chosen = cheapest(wanted, [often, replace(seldom, drain_s=3.0)], {"x": 10}, 0)
    assert chosen is not None
    assert list(chosen.ways) == ["often"], "3 s for who waits 40 s cost 240 s²: more than the 11 between them"


# --- 6. order -----------------------------------------------------------------------------------------------------


def names(ordered: list[Demand]) -> list[str]:
    return [one.model for one in ordered]


def test_first_is_whose_swap_takes_most_waiting_away_for_each_second_of_it() -> None:
    old = demand("old", waits=waits(10.0), enter_s=10.0, slack_s=100.0, since=(0.0, 1))
    many = demand("many", waits=waits(0.0, 0.0, 0.0), enter_s=30.0, slack_s=110.0, since=(10.0, 2))
    assert names(ordered_by([old, many], 0.0, 1)) == ["many", "old"], "90 s in 30 s before 20 s in 10 s"
    assert names(ordered_by([many, replace(old, waits=waits(10.0, 10.0))], 0.0, 1)) == ["old", "many"], "40 s in 10 s"


def test_of_equals_the_older_one_is_first_and_then_the_lower_ticket() -> None:
    a, b, c = (
        demand(model, waits=waits(1.0), enter_s=5.0, slack_s=100.0, since=since)
        for model, since in (("a", (7.0, 2)), ("b", (7.0, 1)), ("c", (6.0, 3)))
    )
    assert names(ordered_by([a, b, c], 0.0, 1)) == ["c", "b", "a"]


def test_what_a_person_asks_for_comes_before_what_is_weighed_and_what_nobody_waits_for_comes_last() -> None:
    modest = demand("modest", slack_s=inf, is_modest=True, enter_s=1.0)
    weighed = demand("weighed", waits=waits(50.0), slack_s=100.0, enter_s=10.0)
    pressing = demand("pressing", slack_s=120.0, is_pressing=True, enter_s=10.0)
    assert names(ordered_by([modest, weighed, pressing], 0.0, 1)) == ["pressing", "weighed", "modest"]


def test_nobody_is_in_order_where_nobody_is() -> None:
    assert ordered_by([], 5.0, 1) == []


# --- 7. bound -----------------------------------------------------------------------------------------------------


def due(ordered: list[Demand]) -> dict[str, bool]:
    return {one.model: one.is_due for one in ordered}


def test_who_cannot_wait_any_longer_is_due_whatever_it_costs() -> None:
    made = Eviction(WAYS, usual_s2=1e9, drain_s2=1e9, all_s2=1e9, clear_s=4.0)
    assert due(ordered_by([demand("d", slack_s=0.1)], 5.0, 1)) == {"d": False}
    [late] = ordered_by([demand("d", slack_s=0.0)], 5.0, 1)
    assert late.is_due
    assert is_worth(late, made)
    assert not is_worth(replace(late, is_due=False), made)


def test_demands_are_due_where_one_of_them_would_be_late_if_all_were_left_any_longer() -> None:
    """Laid one after the other, `second` begins when room was made (5 s) and `first` has come up (25 s)."""
    first = demand("first", slack_s=14.0, enter_s=25.0, waits=waits(1.0))
    second = demand("second", slack_s=30.0, enter_s=10.0, waits=waits(100.0))
    third = demand("third", slack_s=60.0, enter_s=10.0, waits=waits(100.0, 100.0))
    ordered = ordered_by([third, second, first], 5.0, 1)
    assert due(ordered) == {"first": True, "second": True, "third": False}
    assert names(ordered) == ["first", "second", "third"], "those that are due in the order of their deadlines"
    in_time = ordered_by([replace(second, slack_s=30.1), first], 5.0, 1)
    assert due(in_time) == {"first": False, "second": False}
    two_at_once = ordered_by([first, second], 5.0, 2)
    assert due(two_at_once) == {"first": False, "second": False}, "on another device it need not wait for `first`"


def test_where_several_would_be_late_all_up_to_the_last_of_them_are_due() -> None:
    """0, 10 and -10 s are left until they would be."""
    slack = {"a": 0.0, "b": 40.0, "c": 50.0}
    ordered = ordered_by([demand(name, slack_s=slack_s, enter_s=25.0) for name, slack_s in slack.items()], 5.0, 1)
    assert due(ordered) == {"a": True, "b": True, "c": True}


def test_who_is_due_comes_before_what_a_person_asks_for() -> None:
    pressing = demand("pressing", slack_s=50.0, is_pressing=True)
    assert names(ordered_by([pressing, demand("due", slack_s=0.0)], 0.0, 1)) == ["due", "pressing"]


def test_nobody_goes_before_another_whom_that_would_make_late() -> None:
    patient = demand("patient", slack_s=60.0, enter_s=9.0, waits=waits(9.0, 9.0))
    soon = demand("soon", slack_s=14.0, enter_s=10.0, waits=waits(1.0))
    assert names(ordered_by([patient, soon], 5.0, 1)) == ["patient", "soon"], "14 s, and `soon` can begin just in time"
    late = replace(patient, enter_s=9.1)
    assert names(ordered_by([late, soon], 5.0, 1)) == ["soon", "patient"]
    assert names(ordered_by([late, soon], 5.0, 2)) == ["patient", "soon"]


def test_what_nobody_waits_for_is_never_due_and_leaves_nobody_late() -> None:
    modest = demand("modest", slack_s=inf, is_modest=True, enter_s=1e6)
    ordered = ordered_by([modest, demand("d", slack_s=50.0, waits=waits(70.0))], 5.0, 1)
    assert due(ordered) == {"d": False, "modest": False}


# --- 8. overload --------------------------------------------------------------------------------------------------


def test_where_requests_wait_at_the_victim_somebody_must_have_waited_four_trips_longer() -> None:
    leaver = engine(drain_s=5.0, waits=waits(1.0), oldest_s=1.0)
    trip_s = 5.0 + 2.0 + 10.0 + 3.0
    patient = demand(enter_s=10.0, oldest_s=7.0, slack_s=113.0)
    assert loss(leaver, STOP, patient).hold_s == 1.0 + 4.0 * trip_s
    impatient = replace(patient, slack_s=20.0)
    assert loss(leaver, STOP, impatient).hold_s == 1.0 + 4.0 * trip_s
    assert loss(replace(leaver, up_s=4.0 * trip_s), STOP, impatient).hold_s == 2.0 * 27.0, "or twice max_wait_s"
    assert loss(replace(leaver, waits=waits(), oldest_s=0.0), STOP, patient).hold_s == 0.0, "nobody waits there"


def test_who_has_not_waited_so_long_is_held_even_if_it_is_due_but_not_what_a_person_asks_for() -> None:
    made = Eviction(WAYS, hold_s=41.0, clear_s=4.0)
    held = demand(waits=waits(40.9), oldest_s=40.9, gap_s=20.0, enter_s=6.0, is_due=True)
    assert not is_worth(held, made)
    assert is_worth(replace(held, oldest_s=41.0), made)
    assert is_worth(replace(held, is_pressing=True), made)


# --- 9. residence -------------------------------------------------------------------------------------------------


def test_one_that_has_just_become_ready_stays_but_for_who_is_due_or_a_person() -> None:
    resident = engine(is_resident=True)
    assert cheapest(demand(), [resident], {"x": 10}, 0) is None
    for wanted in (demand(is_due=True), demand(is_pressing=True)):
        chosen = cheapest(wanted, [resident], {"x": 10}, 0)
        assert chosen is not None
        assert list(chosen.ways) == ["victim"]


# --- 10. what is being carried out --------------------------------------------------------------------------------


def test_who_drains_already_costs_nothing_more() -> None:
    busy = engine(rate=1.0, drain_s=5.0, waits=waits(9.0), oldest_s=9.0, is_draining=True)
    assert loss(busy, STOP, demand(enter_s=10.0)) == NOTHING


# --- and where nothing is weighed ---------------------------------------------------------------------------------


def test_where_nobody_leaves_everybody_may_begin_and_what_nobody_waits_for_takes_free_room_only() -> None:
    modest = demand(is_modest=True, slack_s=inf)
    assert is_worth(modest, Eviction({}))
    assert is_worth(demand(), Eviction({}, hold_s=1e9))
    assert not is_worth(modest, Eviction(WAYS))
    assert not is_worth(replace(modest, is_due=True), Eviction(WAYS))


def test_what_a_person_asks_for_is_not_weighed() -> None:
    made = Eviction(WAYS, usual_s2=1e9, drain_s2=1e9, all_s2=1e9, hold_s=1e9, clear_s=4.0)
    assert is_worth(demand(is_pressing=True), made)
