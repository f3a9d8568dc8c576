import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from catalog.spec import AgentRoute, Agents, Catalog
from proxy.assembly import Assembled
from proxy.core import messages
from proxy.core.devices import Amounts, Process, Strangers
from proxy.core.errors import EngineStartFailed
from proxy.core.routing import Router
from proxy.core.states import EngineState
from proxy.lifecycle.groups import Groups
from proxy.reload_steps import Reload
from proxy.web import app as web_app
from proxy.web.admin import Admin
from proxy.web.gate import Gate
from proxy.web.reloading import Reloading
from tests.fleet_stage import Stage, engine_keys

WANTED = "its oldest request has waited 0.0 s; 0.00 GiB are free on gpu0"


class FakePulse:
    def tokens_per_s(self, model: str) -> float:
        return 12.5 if model == "a" else 0.0


class FakeReloader:
    problem = None

    async def reload(self, *, dry_run: bool, force: bool) -> Reload:
        return Reload("catalog/x", not dry_run, (), (), ())


@pytest.fixture
async def private(tmp_path: Path) -> AsyncIterator[tuple[Stage, httpx.AsyncClient]]:
    """A fleet, and a client of its Unix socket."""
    stage = Stage(levels=(1,))
    models = stage.entries.specs
    agents = Agents(agent_types={"Chat": AgentRoute(model="a"), "Triage": AgentRoute(model="a")})
    catalog = Catalog(folder=Path("c"), models=models, agents=agents)
    router = Router(catalog)
    known = (stage.fleet, stage.memory, Groups(), stage.devices, stage.entries)
    given = (*known, stage.programs, stage.keeper, engine_keys(), None, FakePulse())
    reloader = FakeReloader()
    admin = Admin(parts=Assembled(*given), router=router, url="http://x:1", reloader=reloader)  # type: ignore[arg-type]
    reloading = Reloading(reloader)  # type: ignore[arg-type]
    runner = web_app.runner(web_app.private_app(None, admin, Gate(stage.fleet, router), reloading))
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        yield stage, client
    stage.fleet.close()
    await runner.cleanup()


async def test_status_shows_devices_reservations_engines_and_the_queue(
    private: tuple[Stage, httpx.AsyncClient],
) -> None:
    stage, client = private
    stage.lifecycle.ready.clear()
    stage.fleet.feed(messages.RequestArrived(1000, "a"))
    status = (await client.get("/status")).json()
    [device] = status["devices"]
    assert (device["capacity_bytes"], device["reserved_bytes"], device["free_bytes"]) == (40, 30, 10)
    assert device["reservations"] == {"a": 30}
    a, b = status["engines"]
    assert (a["model"], a["state"], a["waiting"], a["agent_types"]) == ("a", "starting", 1, ["Chat", "Triage"])
    assert (a["held_bytes"], b["held_bytes"]) == (7, 0)
    assert (b["state"], b["reserved_bytes"], b["port"]) == ("stopped", 0, 8100)
    assert a["memory"]["declared"]["asleep_bytes"] == a["memory"]["reserves"]["asleep_bytes"] == 5
    assert (a["memory"]["learned"]["awake_bytes"], a["memory"]["present"]) == (29, {"card": 7})
    assert (a["devices"], a["why"], a["sleep_level"]) == (
        ["card"],
        "its oldest request has waited 0.0 s; 0.00 GiB are free on gpu0",
        0,
    )
    assert status["host"] == {"for_sleepers_bytes": 100, "pinned": {}, "parked": {}, "free_bytes": 100}
    [queued] = status["queue"]
    assert (queued["model"], queued["waiting"], len(queued["first"])) == ("a", 1, 1)
    assert (a["tokens_per_s"], a["is_pinned"], a["sleep_levels"]) == (12.5, False, [1])
    assert status["caller"] == {"key": "", "role": "admin"}


async def test_status_says_which_models_cannot_start_here(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    stage.fleet.feed(messages.AmountsLearned("b", Amounts(50, 50, 5, 25)))
    a, b = (await client.get("/status")).json()["engines"]
    assert a["warnings"] == ["a's weights are missing: put the model where 'weights' says\nno config.json in w"]
    assert "it fits nowhere: gpu0 has" in b["warnings"][0]


async def test_the_lists_of_models_are_the_same_and_wake_nothing(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    one, other = (await client.get("/v1/models")).json(), (await client.get("/models")).json()
    assert one == other
    assert [model["id"] for model in one["data"]] == ["a", "b"]
    assert stage.lifecycle.done == []


async def test_a_start_need_not_be_waited_for_but_a_refusal_at_once_is_told(
    private: tuple[Stage, httpx.AsyncClient],
) -> None:
    stage, client = private
    got = await client.post("/engines/a/start?wait=perhaps")
    assert (got.status_code, got.json()["error"]["param"]) == (400, "wait")
    stage.lifecycle.start_error = EngineStartFailed("why")
    got = await client.post("/engines/a/start?wait=false")
    assert (got.status_code, got.json()["error"]["code"]) == (503, "engine_start_failed")
    stage.lifecycle.start_error = None
    got = await client.post("/engines/b/start?wait=false")
    assert (got.status_code, got.json()) == (202, {"model": "b", "state": "starting"})
    assert stage.leases("b") == 0


async def test_start_answers_when_the_engine_is_ready_and_stop_at_once(
    private: tuple[Stage, httpx.AsyncClient],
) -> None:
    stage, client = private
    await stage.found("a")
    assert (await client.post("/engines/a/start")).json() == {"model": "a", "state": "ready"}
    got = await client.post("/engines/a/stop")
    assert (got.status_code, got.json()["state"]) == (202, "stopping")
    await stage.until("a", EngineState.STOPPED)


async def test_strangers_are_shown_with_pid_command_and_bytes(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    stage.fleet.feed(messages.StrangersSeen({"card": Strangers(9, (Process(77, 9, "train.py"),))}))
    [device] = (await client.get("/status")).json()["devices"]
    assert device["strangers"] == {"bytes": 9, "processes": [{"pid": 77, "bytes": 9, "command": "train.py"}]}
    assert (device["name"], device["kind"], device["free_bytes"]) == ("gpu0", "nvidia", 31)


async def test_who_stops_an_engine_is_named_by_the_kernel(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    await stage.found("a")
    await client.post("/engines/a/stop")
    a, _ = (await client.get("/status")).json()["engines"]
    assert a["stopped_by"] == f"with manage_vllm.sh by {pwd.getpwuid(os.getuid()).pw_name}"


async def test_a_pin_is_set_and_taken_back(private: tuple[Stage, httpx.AsyncClient]) -> None:
    _, client = private
    for verb, is_pinned in (("pin", True), ("unpin", False)):
        assert (await client.post(f"/engines/a/{verb}")).json() == {"model": "a", "is_pinned": is_pinned}
        a, _ = (await client.get("/status")).json()["engines"]
        assert a["is_pinned"] is is_pinned


async def test_a_forced_stop_is_told_from_one_that_drains(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    await stage.found("a")
    assert (await client.post("/engines/a/stop?force=perhaps")).status_code == 400
    assert (await client.post("/engines/a/stop?force=1")).status_code == 202
    await stage.until("a", EngineState.STOPPED)
    assert stage.lifecycle.done == ["stop a at once"]


async def test_an_engine_is_put_to_sleep_at_a_level(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    await stage.found("a")
    await stage.until("a", EngineState.READY)
    for level, status in (("3", 400), ("2", 409), ("1", 202)):
        assert (await client.post(f"/engines/a/sleep?level={level}")).status_code == status
    await stage.until("a", EngineState.ASLEEP)
    assert stage.lifecycle.done == ["sleep a 1"]


async def test_the_boxs_own_people_get_errors_in_full(private: tuple[Stage, httpx.AsyncClient]) -> None:
    stage, client = private
    stage.lifecycle.start_error = EngineStartFailed("why", detail="the last lines")
    got = await client.post("/engines/a/start")
    assert (got.status_code, got.json()["error"]["message"]) == (503, "why\nthe last lines")
    a, _ = (await client.get("/status")).json()["engines"]
    assert a["failure"] == "why\nthe last lines"


@pytest.mark.parametrize("path", ["/engines/aa/start", "/engines/aa/stop", "/engines/aa/sleep", "/gate/aa"])
async def test_an_unknown_model_is_named_beside_those_there_are(
    private: tuple[Stage, httpx.AsyncClient], path: str
) -> None:
    _, client = private
    got = await client.post(path)
    assert got.status_code == 404
    assert "Did you mean 'a'?" in got.json()["error"]["message"]
