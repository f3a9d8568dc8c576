import pytest

from catalog.spec import AgentRoute
from proxy.core.errors import CatalogInvalid
from proxy.core.states import EngineState
from proxy.reload_steps import Reload, Rerouted, Step, check_able, how_it_leaves, in_short, route_in_words, then_of


def test_what_becomes_of_an_engine_follows_from_where_it_stands() -> None:
    assert then_of(None) == then_of(EngineState.STOPPED) == "counts from its next start"
    assert then_of(EngineState.READY) == "is ready: drains, goes, and starts anew for the next request"
    assert then_of(EngineState.ASLEEP) == "is asleep: goes, and starts anew for the next request"
    assert how_it_leaves(EngineState.FAILED) == "is not there any more"
    assert how_it_leaves(EngineState.READY) == "is ready: serves those who came before, and goes"


def test_a_route_is_told_with_what_is_not_usual_in_it() -> None:
    assert route_in_words(None) is None
    assert route_in_words(AgentRoute(model="a")) == "a"
    route = AgentRoute(model="a", fallback="b", priority=2, pinned=True, idle_stop_s=60)
    assert route_in_words(route) == "a, fallback b, priority 2, pinned True, idle_stop_s 60"


def test_only_an_engine_that_is_up_and_would_have_to_go_for_what_cannot_run_is_a_reason_to_refuse() -> None:
    def told(**more: object) -> Reload:
        step = {"model": "a", "what": "changed", "keys": ("memory_gib",), "then": "x", **more}
        return Reload("c", True, (Step(**step),), (Rerouted("Chat", "a", None),), ())  # type: ignore[arg-type]

    check_able(told())
    check_able(told(warnings=("too large",)))
    check_able(told(is_up=True))
    with pytest.raises(CatalogInvalid, match=r"a is up, and by its new entry it could not be: too large\. .*--force"):
        check_able(told(is_up=True, warnings=("too large",)))
    assert in_short(told()) == ["a changed", "Chat rerouted"]
