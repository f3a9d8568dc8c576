import pytest

from proxy.core.costs import SOON_S, WORTH_S, Costs


def test_until_both_have_happened_a_wake_is_taken_to_be_quicker_than_a_start() -> None:
    costs = Costs()
    assert costs.worth_sleeping([2, 1], 0.0) == [1, 2]
    costs.note_wake(2, 1000.0)
    assert costs.worth_sleeping([2, 1], 0.0) == [1, 2]


def test_a_level_from_which_it_is_back_later_than_from_a_cold_start_is_not_worth_it() -> None:
    costs = Costs()
    costs.note_load(30.0)
    costs.note_wake(1, 2.0)
    costs.note_wake(2, 30.0 + WORTH_S)
    assert costs.worth_sleeping([1, 2], 0.0) == [1]


def test_new_figures_move_the_mean_and_old_ones_are_not_forgotten_at_once() -> None:
    costs = Costs()
    costs.note_load(100.0)
    costs.note_load(50.0)
    assert costs.start_s == pytest.approx(85.0)


def test_one_that_is_not_likely_wanted_soon_sleeps_where_it_pins_nothing() -> None:
    costs = Costs()
    costs.note_request(0.0)
    assert costs.is_wanted_soon(10 * SOON_S), "one request is no habit"
    costs.note_request(60.0)
    assert costs.worth_sleeping([1, 2], 120.0) == [1, 2]
    assert costs.worth_sleeping([1, 2], 61.0 + SOON_S) == [2], "it has been silent for longer than it used to be"
    costs.note_request(3 * SOON_S)
    costs.note_request(20 * SOON_S)
    assert costs.worth_sleeping([1, 2], 20 * SOON_S) == [2], "it is seldom wanted"
    assert costs.worth_sleeping([1], 20 * SOON_S) == [1], "still better than a cold start"
