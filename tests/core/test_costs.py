from math import exp, log

import pytest

from proxy.core.costs import (
    MOST_LOAD,
    PRIOR_SERVICE_S,
    PRIOR_SLEEP_S,
    PRIOR_START_S,
    PRIOR_STOP_S,
    PRIOR_WAKE_S,
    SELDOM_S,
    SOON_S,
    WORTH_S,
    Costs,
)


def asked(*at: float) -> Costs:
    costs = Costs()
    for now in at:
        costs.note_request(now)
    return costs


# --- what acts take -----------------------------------------------------------------------------------------------


def test_until_an_act_has_happened_here_its_prior_is_expected() -> None:
    costs = Costs()
    assert (costs.start_s, costs.expected_start_s, costs.expected_load_s) == (None, PRIOR_START_S, PRIOR_START_S)
    assert costs.expected_stop_s == PRIOR_STOP_S
    assert [costs.expected_wake_s(level) for level in (1, 2)] == [PRIOR_WAKE_S[1], PRIOR_WAKE_S[2]]
    assert [costs.expected_sleep_s(level) for level in (1, 2)] == [PRIOR_SLEEP_S[1], PRIOR_SLEEP_S[2]]
    assert costs.expected_drain_s(1) == PRIOR_SERVICE_S


def test_a_wake_from_a_level_that_nobody_knows_is_taken_for_one_from_the_deepest() -> None:
    assert Costs().expected_wake_s(0) == PRIOR_WAKE_S[2]


def test_a_start_is_the_way_to_the_gate_and_the_load_behind_it() -> None:
    costs = Costs()
    costs.note_prepare(20.0)
    assert (costs.start_s, costs.expected_start_s) == (None, PRIOR_START_S), "it has never come up yet"
    costs.note_load(10.0)
    assert (costs.start_s, costs.expected_start_s, costs.expected_load_s) == (30.0, 30.0, 10.0)


def test_a_start_whose_way_to_the_gate_was_not_seen_is_its_load_alone() -> None:
    costs = Costs()
    costs.note_load(10.0)
    assert costs.start_s == 10.0


def test_new_figures_move_the_mean_and_old_ones_are_not_forgotten_at_once() -> None:
    costs = Costs()
    for note in (costs.note_load, costs.note_prepare, costs.note_stop):
        note(100.0)
        note(50.0)
    assert (costs.load_s, costs.prepare_s, costs.stop_s) == (85.0, 85.0, 85.0)
    assert (costs.expected_start_s, costs.expected_stop_s) == (170.0, 85.0)


def test_sleeps_and_wakes_are_told_apart_by_their_level() -> None:
    costs = Costs()
    for note in (costs.note_sleep, costs.note_wake):
        note(1, 10.0)
        note(1, 20.0)
        note(2, 5.0)
    assert costs.sleep_s == costs.wake_s == {1: 13.0, 2: 5.0}
    assert (costs.expected_sleep_s(1), costs.expected_wake_s(2)) == (13.0, 5.0)


def test_the_time_of_service_varies_more_and_so_moves_more_slowly() -> None:
    costs = Costs()
    costs.note_service(10.0)
    costs.note_service(20.0)
    assert costs.service_s == 12.0


# --- how often it is wanted ---------------------------------------------------------------------------------------


def test_two_requests_make_no_habit_the_prior_counts_as_one_gap_that_was_seen() -> None:
    means = []
    for count in (2, 3, 4, 5, 6):
        costs = asked(*(60.0 * number for number in range(count)))
        means.append(costs.gap_s)
    assert means == pytest.approx([90.0, 80.0, 75.0, 72.0, 69.6]), "then the newest counts a fifth"


def test_one_that_nobody_has_asked_for_has_no_rate_and_one_request_makes_it_seldom() -> None:
    assert Costs().rate(100.0) == 0.0
    assert asked(5.0).rate(5.0) == 1.0 / SELDOM_S
    assert asked(5.0).gap_s is None


def test_the_rate_is_one_in_the_mean_gap_and_a_long_silence_lowers_it() -> None:
    costs = asked(0.0, 60.0)
    assert costs.rate(60.0) == costs.rate(60.0 + 299.0) == pytest.approx(1 / 90.0)
    assert costs.rate(60.0 + 600.0) == pytest.approx(1 / 180.0), "of random arrivals a silence says little"
    assert asked(0.0).rate(4000.0) == pytest.approx(1 / 1200.0)


def test_requests_at_the_same_moment_have_a_finite_rate() -> None:
    costs = asked(*(0.0 for _ in range(100)))
    assert costs.gap_s == pytest.approx(0.0, abs=1e-6)
    assert costs.rate(0.0) == 1000.0


# --- until it is free ---------------------------------------------------------------------------------------------


def test_the_last_of_several_requests_ends_later_than_one_alone() -> None:
    costs = Costs()
    costs.note_service(10.0)
    assert (costs.expected_drain_s(0), costs.expected_drain_s(1)) == (0.0, 10.0)
    assert costs.expected_drain_s(4) == pytest.approx(10.0 * (1.0 + log(4)))


def test_a_moment_without_requests_comes_the_later_the_more_of_them_there_are() -> None:
    """The mean busy period: with a load of requests at once, (exp(load) - 1) / rate."""
    costs = asked(0.0, 60.0)
    costs.note_service(45.0)
    assert costs.expected_idle_s(0, 60.0) == 0.0
    assert costs.expected_idle_s(1, 60.0) == pytest.approx((exp(0.5) - 1.0) * 90.0)
    assert costs.expected_idle_s(7, 60.0) == costs.expected_idle_s(1, 60.0)


def test_where_no_other_request_is_likely_it_is_free_after_this_one() -> None:
    costs = Costs()
    costs.note_service(45.0)
    assert costs.expected_idle_s(1, 0.0) == 45.0, "nobody has asked for it"
    assert Costs().expected_idle_s(1, 0.0) == PRIOR_SERVICE_S
    costs.note_request(0.0)
    assert costs.expected_idle_s(1, 1e6) == 45.0, "a thousandth of a request at once is none"


def test_where_there_is_hardly_ever_such_a_moment_it_is_far_away_and_still_a_number() -> None:
    costs = asked(*(0.0 for _ in range(100)))
    costs.note_service(1e9)
    assert costs.expected_idle_s(1, 0.0) == pytest.approx((exp(MOST_LOAD) - 1.0) / 1000.0)


# --- whether a sleep is worth it ----------------------------------------------------------------------------------


def test_until_both_have_happened_a_wake_is_taken_to_be_quicker_than_a_start() -> None:
    costs = Costs()
    assert costs.worth_sleeping([2, 1], 0.0) == [1, 2]
    costs.note_wake(2, 1000.0)
    assert costs.worth_sleeping([2, 1], 0.0) == [1, 2]
    costs.note_load(1.0)
    assert costs.worth_sleeping([2, 1], 0.0) == [1], "from level 1 it has not come back yet"


def test_a_level_from_which_it_is_back_later_than_from_a_cold_start_is_not_worth_it() -> None:
    costs = Costs()
    costs.note_prepare(10.0)
    costs.note_load(20.0)
    costs.note_wake(1, 2.0)
    costs.note_wake(2, 30.0 + WORTH_S)
    assert costs.worth_sleeping([1, 2], 0.0) == [1]
    costs.wake_s[2] = 30.0 + WORTH_S - 0.1
    assert costs.worth_sleeping([1, 2], 0.0) == [1, 2], "less than a second is noise"


def test_one_that_is_not_likely_wanted_soon_sleeps_where_it_pins_nothing() -> None:
    costs = asked(0.0)
    assert costs.is_wanted_soon(10 * SOON_S), "one request is no habit"
    costs.note_request(60.0)
    assert costs.worth_sleeping([1, 2], 120.0) == [1, 2]
    assert costs.worth_sleeping([1, 2], 60.0 + SOON_S) == [1, 2]
    assert costs.worth_sleeping([1, 2], 61.0 + SOON_S) == [2], "it has been silent for longer than it used to be"
    costs.note_request(3 * SOON_S)
    costs.note_request(20 * SOON_S)
    assert costs.worth_sleeping([1, 2], 20 * SOON_S) == [2], "it is seldom wanted"
    assert costs.worth_sleeping([1], 20 * SOON_S) == [1], "still better than a cold start"
