import httpx

from proxy.core import messages
from proxy.core.errors import EngineStartFailed
from proxy.web.status import _why_not
from tests.fleet_stage import Stage
from tests.web.test_admin import private

__all__ = ["private"]


async def test_it_is_told_who_answers_for_each_agent_type(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    types = (await client.get("/status")).json()["agent_types"]
    assert [(one["agent_type"], one["model"], one["by"]) for one in types] == [
        ("Chat", "a", None),
        ("Triage", "a", None),
    ]
    assert "weights are missing" in types[0]["why_not"], "there is no folder w"
    stage.fleet.stop("a", "by root")
    assert (await client.get("/status")).json()["engines"][0]["stopped_by"] == "by root"


async def test_what_keeps_a_model_from_being_had_is_told_in_a_line() -> None:
    stage = Stage()
    stage.fleet.feed(messages.RequestArrived(1, "a"))
    stage.fleet.feed(messages.StartFailed("a", EngineStartFailed("no kernel\nmore")))
    stage.fleet.feed(messages.EngineStopped("a"))
    stage.fleet.stop("b", "by root")
    views = stage.fleet.view()
    assert _why_not(views, {}, {}) == {"a": "no kernel", "b": "it was stopped by root"}
    assert _why_not(views, {"a": "too large"}, {"a": "missing"})["a"] == "too large"
    stage.fleet.close()
