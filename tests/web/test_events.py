"""What happens, as a stream; logs as they grow."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalog.spec import AgentRoute, Agents, Catalog
from proxy.core import messages
from proxy.core.routing import Router
from proxy.settings import Layout
from proxy.web import app as web_app, events as module
from proxy.web.events import Events
from tests.fleet_stage import Stage
from tests.upstream.conftest import until
from tests.web.conftest import NoAdmin

Box = tuple[Stage, httpx.AsyncClient, Layout]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    stage, here = Stage(), Layout(tmp_path)
    here.logs.mkdir(parents=True)
    agents = Agents(agent_types={"Chat": AgentRoute(model="a")})
    router = Router(Catalog(folder=Path("c"), models=stage.entries.specs, agents=agents))
    private = NoAdmin()
    private.acts = private.public_routes  # type: ignore[attr-defined]
    runner = web_app.runner(web_app.private_app(None, private, Events(stage.fleet, router, here)))  # type: ignore[arg-type]
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy", timeout=10) as client:
        yield stage, client, here
    stage.fleet.close()
    await runner.cleanup()


async def read(got: httpx.Response, many: int) -> list[dict[str, str]]:
    """So many events."""
    events: list[dict[str, str]] = []
    one: dict[str, str] = {}
    async for line in got.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            one[name] = value
        elif one:
            events.append(one)
            one = {}
        if len(events) == many:
            break
    return events


def data(event: dict[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(event["data"])
    return told


async def test_what_happens_is_streamed_and_what_has_happened_can_be_asked_for(box: Box) -> None:
    stage, client, _ = box
    stage.fleet.feed(messages.StopAsked("a", "by ann"))
    async with client.stream("GET", "/events?after=0") as got:
        assert got.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        [asked] = await read(got, 1)
    assert (asked["event"], data(asked)["what"], data(asked)["who"]) == ("event", "stop_asked", "by ann")
    async with client.stream("GET", "/events") as got:
        await asyncio.sleep(0.05)
        stage.fleet.feed(messages.PreloadAsked("b"))
        [preload, *_] = await read(got, 1)
        assert data(preload)["what"] == "preload_asked"
    await until(lambda: not stage.fleet.happenings._onlookers)


async def test_who_comes_back_goes_on_where_he_was_and_is_told_what_he_missed(box: Box) -> None:
    stage, client, _ = box
    for who in ("ann", "bob"):
        stage.fleet.feed(messages.StopAsked("a", who))
    async with client.stream("GET", "/events?after=0") as got:
        first, second = await read(got, 2)
    async with client.stream("GET", "/events", headers={"Last-Event-ID": first["id"]}) as got:
        assert await read(got, 1) == [second]
    async with client.stream("GET", "/events", headers={"Last-Event-ID": "otherlife-7"}) as got:
        missed, again, _ = await read(got, 3)
    assert (missed["event"], again) == ("missed", first)


async def test_only_what_is_asked_for_is_told_and_the_rest_is_no_silence(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, client, _ = box
    async with client.stream("GET", "/events?kinds=move,refusal") as got:
        await asyncio.sleep(0.05)
        stage.fleet.feed(messages.PreloadAsked("b"))
        stage.fleet.feed(messages.StopAsked("a", "by ann"))
        [move] = await read(got, 1)
        assert (move["event"], data(move)["new"]) == ("move", "starting")
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.05)
    # what is left out must not keep the comment away that a reader waits for
    async with client.stream("GET", "/events?kinds=grant") as got:
        news = asyncio.create_task(anext(got.aiter_lines()))
        for _ in range(200):
            stage.fleet.feed(messages.StopAsked("a", "by ann"))
            done, _ = await asyncio.wait([news], timeout=0.01)
            if done:
                break
        assert news.result() == ": nothing has happened"


async def test_the_last_hour_is_one_answer_that_the_stream_goes_on_from(box: Box) -> None:
    stage, client, _ = box
    stage.fleet.feed(messages.PreloadAsked("a"))
    told = (await client.get("/history")).json()
    [span] = told["spans"]
    assert (span["model"], span["state"], span["end"], span["held"]) == ("a", "starting", None, {"card": 30})
    assert 0 <= told["now"] - span["begin"] < 60
    stage.fleet.feed(messages.StopAsked("a", "by ann"))
    async with client.stream("GET", f"/events?after={told['n']}&kinds=event") as got:
        [asked] = await read(got, 1)
    assert data(asked)["what"] == "stop_asked"


async def test_whose_key_ends_is_told_no_more(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    _, client, here = box
    here.log_of("proxy").write_text("one\n")
    answers = iter([True, True, False])
    monkeypatch.setattr(module, "may_still", lambda _: next(answers, False))
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.01)
    for path in ("/events", "/log?follow=true"):
        async with client.stream("GET", path) as got:
            assert len([line async for line in got.aiter_lines()]) < 10  # and so it ends


async def test_a_silent_stream_is_kept_alive_and_ends_with_the_proxy(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.02)
    stage, client, _ = box
    async with client.stream("GET", "/events") as got:
        lines = got.aiter_lines()
        assert await anext(lines) == ": nothing has happened"
        stage.fleet.happenings.close()
        assert [line async for line in lines][-1] == ""


@pytest.mark.parametrize("path", ["/log", "/engines/a/log"])
async def test_the_end_of_a_log_is_shown(box: Box, path: str) -> None:
    _, client, here = box
    here.log_of("proxy" if path == "/log" else "a").write_text("one\ntwo\nthree\n")
    got = await client.get(path, params={"lines": "2"})
    assert (got.text, got.headers["Content-Type"]) == ("two\nthree\n", "text/plain; charset=utf-8")
    assert (await client.get(path)).text == "one\ntwo\nthree\n"


async def test_a_log_is_followed_until_the_proxy_goes(box: Box) -> None:
    stage, client, here = box
    log = here.log_of("a")
    log.write_text("one\n")
    async with client.stream("GET", "/engines/a/log?follow=true") as got:
        lines = got.aiter_lines()
        assert await anext(lines) == "one"
        with log.open("a") as file:
            file.write("two\n")
        assert await anext(lines) == "two"
        stage.fleet.happenings.close()
        assert [line async for line in lines] == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/events?after=x", "after is 'x': a number"),
        ("/events?kinds=move,mvoe", "kinds has 'mvoe': move, grant, refusal, event, strangers are allowed"),
        ("/log?lines=-1", "lines is '-1': a number up to 10000"),
        ("/log?lines=99999", "lines is '99999': a number up to 10000"),
        ("/log?follow=perhaps", "follow is 'perhaps': true (or 1) and false (or 0) are allowed"),
        ("/engines/nobody/log", "nobody"),
    ],
)
async def test_what_is_wrong_is_said(box: Box, path: str, said: str) -> None:
    got = await box[1].get(path)
    assert got.status_code in (400, 404)
    assert said in got.json()["error"]["message"]
