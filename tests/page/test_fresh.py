"""What the page does again when something has changed, and what it does not; /status is told to it as a test likes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.installation import Installation, eventually, fake_model, running
from tests.page.browser import opened

NOTHING_HAPPENS = """(() => {
    const ask = window.fetch;
    const silence = () => new Response(new ReadableStream(), { headers: { "Content-Type": "text/event-stream" } });
    window.fetch = async (...given) => `${given[0]}`.includes("events?") ? silence() : ask(...given);
})()"""
COUNTS_LAYOUTS = """async () => {
    const { store } = await import("/ui/store.js");
    const spans = [...store.spans];
    window.laid = window.painted = 0;
    spans.filter = function (...given) {
      window.painted += 1;
      return Array.prototype.filter.apply(spans, given);
    };
    const get = (_, name) => {
      if (name === "0") window.laid += 1;
      return spans[name];
    };
    store.spans = new Proxy(spans, { get });
}"""
LOOKS_AGAIN = "async () => (await import('/ui/store.js')).store.refresh()"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    models = [fake_model("a"), fake_model("b"), fake_model("vectors", embedder=True)]
    with running(Installation(Path(tmp_path_factory.mktemp("p")), models, {"Chat": "a"}, 6)) as installation:
        installation.manage("start", "a")
        yield installation


def tell(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """From now on its /status is changed so; it is looked at again."""

    def answer(route: Route) -> None:
        got = route.fetch()
        told = got.json()
        change(told)
        route.fulfill(response=got, body=json.dumps(told))

    page.unroute("**/status")
    page.route("**/status", answer)
    page.evaluate(LOOKS_AGAIN)


def test_the_roster_is_laid_out_anew_for_another_history_or_scale_only(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "roster", script=NOTHING_HAPPENS) as page:
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("table.changes")).to_contain_text("a")
        page.evaluate(COUNTS_LAYOUTS)
        for laid in (1, 0):  # another array is laid out once
            page.evaluate("window.painted = window.laid = 0")
            page.evaluate(LOOKS_AGAIN)
            eventually(lambda: page.evaluate("window.painted") > 0, every_s=0.1)
            assert page.evaluate("window.laid") == laid

        def shrink(told: dict[str, Any]) -> None:
            told["devices"][0]["capacity_bytes"] = told["devices"][0]["total_bytes"] = 2**33

        page.evaluate("window.laid = 0")
        tell(page, shrink)
        eventually(lambda: page.evaluate("window.laid") == 1, every_s=0.1)


def test_a_model_that_a_reload_took_away_is_chosen_no_longer(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "whatif") as page:
        page.get_by_role("checkbox", name="a ").check()
        page.get_by_role("checkbox", name="b ").check()
        expect(page.locator(".seats li")).to_have_count(2)
        tell(page, lambda told: told.update(engines=[one for one in told["engines"] if one["model"] != "b"]))
        expect(page.locator(".seats li")).to_have_count(1)


def test_what_if_is_asked_again_when_a_state_has_changed_and_not_too_often(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "whatif") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/plan" in request.url else None)
        page.get_by_role("checkbox", name="b ").check()
        expect(page.locator(".seats li")).to_have_count(1)
        page.evaluate(LOOKS_AGAIN)
        assert len(asked) == 1

        def turn(told: dict[str, Any]) -> None:
            told["engines"][0]["state"] = "asleep"

        tell(page, turn)
        expect(page.locator(".choices")).to_contain_text("asleep")
        assert len(asked) == 1, "a moment after it was asked"
        with page.expect_request("**/plan*"):
            page.wait_for_timeout(3000)
            page.evaluate(LOOKS_AGAIN)


def test_a_log_is_searched_as_far_back_as_it_is_kept_here(browser: Browser, box: Installation) -> None:
    with (box.root / "var" / "log" / "a.log").open("a") as file:
        file.write("a needle of long ago\n" + "hay\n" * 4900)
    with opened(browser, box.url, "logs/a") as page:
        page.get_by_label("Search").fill("needle")
        expect(page.locator("pre.log")).to_have_text("a needle of long ago")


@pytest.mark.parametrize("view", ["%", "toString", "models%2", "nothing/at/all"])
def test_an_address_that_names_no_view_leads_to_the_first(browser: Browser, box: Installation, view: str) -> None:
    with opened(browser, box.url, view) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Roster")


def test_try_it_knows_at_once_which_models_embed_also_after_a_reload(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "try") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_label("Ask").select_option("model:vectors")
        expect(page.get_by_text("This one makes a vector of a text.")).to_be_visible()
        expect(page.get_by_label("at most")).to_be_disabled()

        def change(told: dict[str, Any]) -> None:
            for engine in told["engines"]:
                engine["embedder"] = False

        tell(page, change)
        expect(page.get_by_label("at most")).to_be_enabled()
        assert not [url for url in asked if url.endswith("v1/models")]
