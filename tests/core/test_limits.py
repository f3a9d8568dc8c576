from math import inf

from proxy.core.diagnose import Lasts
from proxy.core.limits import LONGEST_COOL_DOWN_S, Limits

LIMITS = Limits(cool_down_s=10)


def test_a_passing_cause_is_tried_again_after_the_same_wait_each_time() -> None:
    assert [LIMITS.cool_down_after(Lasts.PASSING, failures) for failures in (1, 2, 50)] == [10, 10, 10]


def test_an_unknown_cause_is_left_alone_twice_as_long_each_time_up_to_a_limit() -> None:
    waits = [LIMITS.cool_down_after(Lasts.UNKNOWN, failures) for failures in range(1, 8)]
    assert waits == [10, 20, 40, 80, 160, LONGEST_COOL_DOWN_S, LONGEST_COOL_DOWN_S]
    assert LIMITS.cool_down_after(Lasts.UNKNOWN, 100_000) == LONGEST_COOL_DOWN_S


def test_a_setting_above_the_limit_is_not_cut() -> None:
    assert Limits(cool_down_s=1000).cool_down_after(Lasts.UNKNOWN, 3) == 1000


def test_a_cause_in_the_configuration_is_not_tried_again_by_itself() -> None:
    assert LIMITS.cool_down_after(Lasts.LASTING, 1) == inf
