"""How a model is to be treated follows from its own file and from the agent types that it serves."""

import msgspec

from catalog.spec import AgentRoute
from proxy.core.terms import Terms, terms_of
from tests.fleet_stage import spec


def test_without_a_word_the_engine_takes_as_many_requests_as_vllm_runs_at_once() -> None:
    plain = msgspec.structs.replace(spec("a"), max_num_seqs=7)
    assert terms_of(plain, []) == Terms(concurrency=7, max_queue=1000)
    assert terms_of(msgspec.structs.replace(plain, concurrency=3), []).concurrency == 3


def test_what_one_of_its_agent_types_says_holds_for_the_model_and_what_others_say_does_not() -> None:
    routes = [
        AgentRoute(model="a", pinned=True, idle_stop_s=50, min_residence_s=3),
        AgentRoute(model="a", idle_stop_s=90),
        AgentRoute(model="b", preload=True, idle_sleep_s=1),
    ]
    got = terms_of(spec("a"), routes)
    assert (got.is_pinned, got.is_preload, got.idle_sleep_s) == (True, False, None)
    assert (got.idle_stop_s, got.min_residence_s) == (90, 3), "the longest of them"


def test_the_times_of_its_own_file_count_before_those() -> None:
    own = msgspec.structs.replace(spec("a"), idle_stop_s=10, min_residence_s=0, priority=2)
    got = terms_of(own, [AgentRoute(model="a", idle_stop_s=90, min_residence_s=5, priority=4)])
    assert (got.idle_stop_s, got.min_residence_s) == (10, 0)
    assert got.priority == 2, "an agent type's priority is its requests'"
