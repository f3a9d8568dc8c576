"""Reasons in words."""

from proxy.core.offers import Demand
from proxy.core.queue import Waits
from proxy.core.reasons import why_idle, why_wanted
from proxy.core.roster import Engine
from tests.core.world import CARD, amounts, needs


def test_who_wants_an_engine_is_told_with_how_many_and_since_when() -> None:
    one = Demand("a", 1, (("x",),), oldest_s=2.14, waits=Waits(1.0))
    assert why_wanted(one) == "its oldest request has waited 2.1 s"
    three = Demand("a", 1, (("x",),), oldest_s=2.14, waits=Waits(3.0))
    assert why_wanted(three) == "its oldest request has waited 2.1 s, 3 requests in all"
    assert why_wanted(Demand("a", 1, (), is_modest=True)) == "it is to be there before anybody asks (preload)"
    assert why_wanted(Demand("a", 1, (), oldest_s=1.0, is_pressing=True)) == "somebody started it by hand 1.0 s ago"


def test_an_idle_end_says_whose_word_it_follows() -> None:
    engine = Engine("a", needs(amounts(1), {CARD: 40}), last_used_at=10.0)
    assert why_idle(engine, 30.0, 50.0) == "idle 40 s, which is 30 s or more: the catalog says so"
    engine.keep_alive_s = 30.0
    assert why_idle(engine, 30.0, 50.0).endswith("its last request said so (keep_alive)")
