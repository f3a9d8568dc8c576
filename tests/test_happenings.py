"""What is told to who looks on, and what is kept for who comes later."""

import asyncio
from typing import Any

import pytest

from proxy import happenings as module
from proxy.core import messages
from proxy.core.devices import Process, Strangers
from proxy.core.errors import EngineStartFailed
from proxy.happenings import Happening, Happenings, Kind
from tests.fleet_stage import Stage


async def told(happenings: Happenings, after: int | None = 0) -> list[dict[str, Any]]:
    onlooker = happenings.look(after)
    try:
        return [one.as_dict() for one in await onlooker.next(0.01) if one is not None]
    finally:
        happenings.leave(onlooker)


@pytest.fixture
async def stage() -> Any:
    stage = Stage()
    yield stage
    stage.fleet.close()


async def test_a_start_is_told_with_why_and_what_it_holds(stage: Stage) -> None:
    stage.lifecycle.ready.clear()
    stage.fleet.feed(messages.RequestArrived(1, "a"))
    [move] = await told(stage.fleet.happenings)
    assert (move["kind"], move["model"], move["old"], move["new"]) == ("move", "a", "stopped", "starting")
    assert (move["held"], move["cause"]) == ({"card": 30}, "none")
    assert "has waited" in move["why"]
    stage.fleet.feed(messages.StopAsked("a", "by ann"))
    asked, *rest = await told(stage.fleet.happenings, after=move["n"])
    assert (asked["kind"], asked["what"], asked["who"]) == ("event", "stop_asked", "by ann")
    assert [one["new"] for one in rest if one["kind"] == "move"] == ["stopping"]


async def test_requests_are_told_to_who_looks_on_and_not_kept(stage: Stage) -> None:
    happenings = stage.fleet.happenings
    onlooker = happenings.look(None)
    gate = asyncio.create_task(stage.ask_gate("a", 7))
    async with stage.fleet.leases.take("a"):
        await gate
    kinds = [(one.kind, one.told.get("what")) for one in await onlooker.next(0.01) if one is not None]
    assert ("event", "request_arrived") in kinds
    assert ("grant", None) in kinds
    kept = await told(happenings)
    assert {one["kind"] for one in kept} == {"move", "event"}
    assert not [one for one in kept if one.get("what") == "request_arrived"]


async def test_who_is_refused_is_kept_with_why(stage: Stage) -> None:
    stage.fleet.feed(messages.RequestArrived(1, "a"))
    stage.fleet.feed(messages.StartFailed("a", EngineStartFailed("it fell over")))
    stage.fleet.feed(messages.EngineStopped("a"))
    [refusal] = [one for one in await told(stage.fleet.happenings) if one["kind"] == "refusal"]
    assert (refusal["model"], refusal["code"]) == ("a", "engine_start_failed")
    [failed] = [one for one in await told(stage.fleet.happenings) if one.get("what") == "start_failed"]
    assert failed["error"] == "it fell over"


async def test_strangers_are_told_when_they_hold_about_as_much_more(stage: Stage) -> None:
    for held in (2**30, 2**30 + 1, 2**31):
        seen = Strangers(held, (Process(1, held, "x"),))
        stage.fleet.feed(messages.StrangersSeen({"card": seen}))
    strangers = [one for one in await told(stage.fleet.happenings) if one["kind"] == "strangers"]
    assert [one["held"] for one in strangers] == [{"card": 2**30}, {"card": 2**31}]


async def test_who_is_too_slow_is_told_that_something_is_missing() -> None:
    happenings = Happenings()
    onlooker = happenings.look(None)
    for _ in range(module.MOST_AHEAD + 1):
        happenings._tell(Kind.EVENT, "a", {})
    missed, last = await onlooker.next(0.01)
    assert missed is None
    assert isinstance(last, Happening)
    assert last.n == module.MOST_AHEAD + 1


async def test_who_comes_back_too_late_has_missed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    happenings = Happenings()
    for _ in range(3):
        happenings._tell(Kind.EVENT, "a", {})
    assert happenings.has_all_after(1)
    for _ in range(3):
        happenings._tell(Kind.EVENT, "a", {})
    assert [one["n"] for one in await told(happenings)] == [4, 5, 6]
    assert (happenings.has_all_after(3), happenings.has_all_after(2)) == (True, False)
    assert not happenings.has_all_after(7), "of another life"


async def test_it_ends_with_the_proxy() -> None:
    happenings = Happenings()
    onlooker = happenings.look(None)
    waiting = asyncio.create_task(onlooker.next(5))
    await asyncio.sleep(0)
    happenings.close()
    assert await waiting == []
    assert onlooker.is_over
    assert happenings.look(None).is_over
