"""`make bench-page`: what an open page costs while as much happens as it is made for, in the browser and in the proxy.

An hour's worth of events is played in about a minute, from a server that has the page's own files and the answers of a
real proxy: then the renderer has the hour in memory. It goes on at the true rate, at which the renderer's share of a
core is measured. The proxy's is measured while requests are refused at that rate, beside the same without a page, in
turn.
"""

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from aiohttp import web
from playwright.sync_api import Browser, Page as Window, expect

from proxy.core.states import EngineState
from proxy.web.page import Page
from tests.installation import Installation, fake_model, free_port, running
from tests.page.browser import chromium, opened

EVENTS = 50_000
AN_HOUR_S = 3600.0
PLAYED_IN_S = 60.0
SETTLE_S = 3.0
TRUE_RATE = EVENTS / AN_HOUR_S
TRUE_S = 60.0
LOOK_S = 20.0
ROUNDS = 3
TOO_LARGE = "never-fits"
MODELS = ("bimedix2-8b", "chatdoctor-7b", "qwen2.5-14b", "mixtral-8x7b", "biomedlm-embed", "pubmedbert-embed")
CYCLE = (EngineState.STARTING, EngineState.READY, EngineState.DRAINING, EngineState.STOPPING, EngineState.STOPPED)
WHY = (
    "idle 11 s, frees 20.89 GiB for bimedix2-8b: its oldest request has waited 0.0 s; mixtral-8x7b, 1.9 requests a "
    "minute, is back in 8 s when wanted; in squared waits, a minute more costs 4796 s² and the swap 127 s²"
)


class Player:
    """Serves the page with what a proxy has told of itself.

    It plays an hour of moves when it is told to `go`, and more at the rate of that hour when it is told to `go_on`.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._device = told["status"]["devices"][0]["id"]
        self._capacity = told["status"]["devices"][0]["capacity_bytes"]
        self.played = 0
        self.go, self.go_on = asyncio.Event(), asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        answers = [web.get(f"/{name}", self._answer) for name in ("status", "history", "plan")]
        app.add_routes([*Page().routes(), *answers, web.get("/events", self._events)])
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        told = self._told[request.path.strip("/")]
        return web.json_response(told | {"now": time.time()})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": nothing has happened\n\n")
        await self.go.wait()
        begins_at = time.time() - AN_HOUR_S
        for n in range(1, EVENTS + 1):
            await response.write(self._event(n, begins_at + n * AN_HOUR_S / EVENTS))
            self.played = n
            if n % 100 == 0:
                await asyncio.sleep(100 * PLAYED_IN_S / EVENTS)
        await self.go_on.wait()
        with contextlib.suppress(ConnectionResetError):
            while True:
                self.played += 1
                await response.write(self._event(self.played, time.time()))
                await asyncio.sleep(1 / TRUE_RATE)
        return response

    def _event(self, n: int, at: float) -> bytes:
        model, step = MODELS[n % len(MODELS)], n // len(MODELS) % len(CYCLE)
        holds = {} if CYCLE[step] is EngineState.STOPPED else {self._device: self._capacity // len(MODELS)}
        told = {
            "n": n,
            "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "kind": "move",
            "model": model,
            "old": CYCLE[step - 1],
            "new": CYCLE[step],
            "why": WHY,
            "cause": "room",
            "held": holds,
        }
        return f"id: bench-{n}\nevent: move\ndata: {json.dumps(told)}\n\n".encode()


@contextlib.contextmanager
def playing(told: dict[str, Any]) -> Iterator[tuple[Player, str, asyncio.AbstractEventLoop]]:
    """A player on a thread of its own, and where it is."""
    loop, port, made = asyncio.new_event_loop(), free_port(), threading.Event()
    player: list[Player] = []

    async def begin() -> web.AppRunner:
        player.append(Player(told))
        runner = web.AppRunner(player[0].app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run)
    thread.start()
    made.wait(10)
    try:
        yield player[0], f"http://127.0.0.1:{port}", loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def renderer(window: Window) -> psutil.Process:
    """The browser's process for this window, among those that it keeps ready: the one that is busy when that is."""
    before = {one.pid: cpu_s(one) for one in renderers()}
    window.evaluate("() => { const end = performance.now() + 1000; while (performance.now() < end); }")
    there = [one for one in renderers() if one.pid in before]  # one that has just been made has been busy, too
    return max(there, key=lambda one: cpu_s(one) - before[one.pid])


def renderers() -> list[psutil.Process]:
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # some end at the moment
            if "--type=renderer" in one.cmdline():
                found.append(one)
    return found


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def hour(browser: Browser, told: dict[str, Any]) -> None:
    """An hour's worth of events in one page."""
    with playing(told) as (player, url, loop), opened(browser, url, "roster") as window:
        expect(window.locator("#link")).to_have_text("live")
        process = renderer(window)
        fresh_mb = process.memory_full_info().uss / 1e6
        began_s, began_at = cpu_s(process), time.monotonic()
        loop.call_soon_threadsafe(player.go.set)
        while player.played < EVENTS and time.monotonic() < began_at + 10 * PLAYED_IN_S:
            time.sleep(0.2)
        time.sleep(SETTLE_S)
        took_s, used_s = time.monotonic() - began_at, cpu_s(process) - began_s
        mb = process.memory_full_info().uss / 1e6
        looks = watched(process, window, LOOK_S)
        loop.call_soon_threadsafe(player.go_on.set)
        played_before = player.played
        lives = watched(process, window, TRUE_S)
        rate = (player.played - played_before) / TRUE_S
        print(f"{EVENTS} events, played in {took_s:.0f} s")
        print(f"memory of the page's process: {fresh_mb:.0f} MB when it opens, {mb:.0f} MB after them")
        print(f"page_mb: {mb:.0f}")
        print(f"cpu of it: {used_s:.1f} s for the events, {100 * looks:.2f} % of a core to show the hour")
        print(f"with {rate:.1f} events a second more, for {TRUE_S:.0f} s: {100 * lives:.2f} % of a core")
        print(f"page_cpu_percent: {100 * lives:.2f}")


def watched(process: psutil.Process, window: Window, seconds: float) -> float:
    """What the page costs for so long: a share of a core."""
    began_s, began_at = cpu_s(process), time.monotonic()
    window.wait_for_timeout(seconds * 1000)
    return (cpu_s(process) - began_s) / (time.monotonic() - began_at)


@contextlib.contextmanager
def refusing(box: Installation) -> Iterator[None]:
    """While in it the proxy refuses requests at the true rate, each of which is an event."""
    is_over = threading.Event()
    body = {"model": TOO_LARGE, "prompt": "x", "max_tokens": 1}

    def ask() -> None:
        with httpx.Client(trust_env=False) as client:
            while not is_over.wait(1 / TRUE_RATE):
                client.post(f"{box.url}/v1/completions", json=body, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(70)


def proxys_share(browser: Browser, box: Installation) -> None:
    """What the proxy does for one open page, beside none, while events come at the true rate."""
    proxy = psutil.Process(box.status()["proxy"]["pid"])
    without, with_page = [], []
    with refusing(box):
        for _ in range(ROUNDS):
            without.append(used(proxy))
            with opened(browser, box.url, "roster") as window:
                expect(window.locator("#link")).to_have_text("live")
                with_page.append(used(proxy))
    kept = httpx.get(f"{box.url}/events/kept", trust_env=False).json()["events"]
    assert any(one["kind"] == "refusal" for one in kept), "nothing was refused"
    share = 100 * (median(with_page) - median(without))
    print(
        f"the proxy: {100 * median(without):.2f} % of a core without a page, {100 * median(with_page):.2f} % with one"
    )
    print(f"proxy_cpu_percent_per_page: {share:.2f}")


def used(process: psutil.Process) -> float:
    began_s = cpu_s(process)
    time.sleep(LOOK_S)
    return (cpu_s(process) - began_s) / LOOK_S


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        models = [*(fake_model(name, 1.0) for name in MODELS), fake_model(TOO_LARGE, 99.0)]
        agents = {"Chat": MODELS[1], "MedicalQA": MODELS[0], "Claims": MODELS[3]}
        with running(Installation(Path(folder), models, dict(agents), 4.5)) as box:
            for model in MODELS[:3]:
                box.manage("start", model)
            names = {"status": "status", "history": "history", "plan": f"plan?model={MODELS[0]}"}
            told = {name: httpx.get(f"{box.url}/{path}", trust_env=False).json() for name, path in names.items()}
            proxys_share(browser, box)
        hour(browser, told)


if __name__ == "__main__":
    main()
