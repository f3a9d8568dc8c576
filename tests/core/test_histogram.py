from hypothesis import given, strategies as st

from proxy.core.histogram import SECONDS, Histogram


@given(st.lists(st.floats(0, 1e4)))
def test_each_bucket_holds_all_that_is_no_longer_than_its_bound(seconds: list[float]) -> None:
    histogram = Histogram()
    for one in seconds:
        histogram.add(one)
    buckets = dict(histogram.buckets())
    assert buckets["+Inf"] == len(seconds)
    for bound in SECONDS:
        assert buckets[str(bound)] == sum(one <= bound for one in seconds)


def test_two_are_merged_by_adding() -> None:
    one, other = Histogram(), Histogram()
    one.add(1.0)
    other.add(700.0)
    one.merge(other)
    assert one.sum_s == 701.0
    assert one.buckets()[-1] == ("+Inf", 2.0)
