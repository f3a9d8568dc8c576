"""The page at /ui in a real browser, against a whole installation with fake engines; tests/e2e has a tour with vLLM."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import AGENTS, BUDGET_GIB, fakes
from tests.installation import Installation, eventually, running
from tests.page.browser import VIEWS, ask, card, coloured, opened, press


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One chat model and the embedder fit together; two chat models do not."""
    with running(Installation(Path(tmp_path_factory.mktemp("p")), fakes(), AGENTS, BUDGET_GIB)) as installation:
        yield installation


@pytest.fixture
def go(browser: Browser, stack: Installation) -> Iterator[Callable[[str], Page]]:
    """Opens a view, each time in a window of its own; what goes wrong in a page fails the test."""
    with contextlib.ExitStack() as windows:
        yield lambda view: windows.enter_context(opened(browser, stack.url, view))


@pytest.fixture
def go_wrong(browser: Browser, stack: Installation) -> Iterator[Callable[[str], Page]]:
    """The same for a page of which requests will fail."""
    with contextlib.ExitStack() as windows:
        yield lambda view: windows.enter_context(opened(browser, stack.url, view, may_fail=True))


@pytest.fixture(autouse=True)
def behaves(stack: Installation) -> None:
    for model in ("medical", "chat", "claims", "evidence"):
        stack.control(model)


def test_a_stream_in_try_it_says_what_it_cost(go: Callable[[str], Page], stack: Installation) -> None:
    stack.control("chat", start_s=2.5)  # so long that its client is told of the wait before the answer
    page = go("try")
    ask(page, "Chat", "Hello there")
    cost = page.locator(".turn .cost")
    expect(cost).to_have_text(
        re.compile(r"^chat · waited .* · for its (start|wake) · first token after .* · \d+ tokens in .* tokens/s$"),
        timeout=30_000,
    )
    expect(page.locator(".turn .said").nth(1)).to_have_text(re.compile(r"\S{3}"))
    ask(page, None, "And again")
    expect(cost.nth(1)).to_have_text(re.compile(r"^chat · waited 0.0 s · first token"), timeout=60_000)
    assert stack.state("chat") == "ready"


def test_a_swap_is_seen_on_the_roster_while_it_happens(go: Callable[[str], Page], stack: Installation) -> None:
    stack.manage("start", "chat")
    roster, queue, other = go("roster"), go("queue"), go("try")
    roster.get_by_role("button", name="5 min", exact=True).click()
    lane = roster.locator(".lane canvas").first
    assert coloured(lane, "--state-ready") > 0
    before = coloured(lane, "--state-starting")
    expect(queue.get_by_text("Nobody waits")).to_be_visible()
    stack.control("claims", start_s=2.0)
    ask(other, "Claims", "Is this covered?")
    row = queue.locator(".queue").get_by_role("row").filter(has_text="Claims")
    expect(row).to_be_visible(timeout=30_000)
    expect(roster.locator(".next")).to_contain_text("claims is", timeout=30_000)
    expect(roster.locator("#queue-count")).to_have_text("1")
    eventually(lambda: coloured(lane, "--state-starting") > before, within_s=60, every_s=0.2)
    changes = roster.locator("table.changes")
    expect(changes.get_by_role("row").filter(has_text="claims").filter(has_text="starting").first).to_be_visible()
    expect(changes.get_by_role("row").filter(has_text="claims").filter(has_text="ready").first).to_be_visible(
        timeout=30_000
    )
    expect(
        changes.get_by_role("row").filter(has_text="for claims: its oldest request has waited").first
    ).to_be_visible()
    expect(other.locator(".turn .cost")).to_contain_text("tokens in", timeout=60_000)
    expect(queue.get_by_text("Nobody waits")).to_be_visible()
    slider = roster.get_by_role("slider")
    slider.focus()
    roster.keyboard.press("End")
    last = slider.get_attribute("aria-valuetext") or ""
    assert re.match(r"\d\d:\d\d:\d\d, \w+ \w+.*: \S", last), last
    roster.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") != last
    expect(roster.locator(".card.why")).to_contain_text(re.compile("for .* s"))
    roster.keyboard.press("Escape")
    expect(roster.locator(".card.why")).to_contain_text("Point at a band")


def test_pointing_at_a_band_says_why(go: Callable[[str], Page], stack: Installation) -> None:
    stack.manage("start", "chat")
    roster = go("roster")
    roster.get_by_role("button", name="5 min", exact=True).click()
    expect(roster.locator(".lane .caption")).to_contain_text("GiB reserved")
    roster.wait_for_timeout(1500)
    box = roster.locator(".lane canvas").first.bounding_box()
    assert box is not None
    roster.mouse.move(box["x"] + box["width"] * 0.86 - 3, box["y"] + box["height"] * 0.6)
    expect(roster.locator(".card.why")).to_contain_text("holds", timeout=5000)


def test_every_act_on_an_engine_is_done_from_the_page(go: Callable[[str], Page], stack: Installation) -> None:
    stack.manage("start", "chat")
    page = go("models")
    chat = card(page, "chat")
    press(page, "chat", "Pin")
    expect(chat.locator(".chip.pinned")).to_be_visible()
    press(page, "chat", "Unpin")
    expect(chat.locator(".chip.pinned")).to_be_hidden()
    press(page, "chat", "Sleep")
    expect(chat.locator(".badge")).to_have_text(re.compile("asleep, level 1"), timeout=60_000)
    press(page, "chat", "Start")
    expect(chat.locator(".badge")).to_have_text("ready", timeout=30_000)
    press(page, "chat", "Stop")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert stack.state("chat") == "ready"
    press(page, "chat", "Stop")
    dialog.get_by_role("button", name="Drain and stop").click()
    expect(chat.locator(".badge")).to_have_text("stopped", timeout=60_000)
    expect(chat.locator(".notes")).to_contain_text("Stays stopped until somebody starts it")
    press(page, "chat", "Start")
    expect(chat.locator(".badge")).to_have_text("ready", timeout=30_000)
    expect(page.locator("#toast")).to_contain_text("chat is ready")
    expect(chat.locator(".memory")).to_contain_text("reserves")


def test_a_forced_stop_is_a_second_step(
    go: Callable[[str], Page], go_wrong: Callable[[str], Page], stack: Installation
) -> None:
    stack.manage("start", "chat")
    stack.control("chat", token_s=0.1)
    page, other = go("models"), go_wrong("try")
    ask(other, "Chat", "Tell me everything", most=900)
    expect(other.locator(".turn .cost")).to_contain_text("tokens in", timeout=60_000)
    press(page, "chat", "Stop")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It first finishes 1 request")
    dialog.get_by_role("button", name="Drain and stop").click()
    expect(card(page, "chat").locator(".badge")).to_have_text("draining")
    press(page, "chat", "Stop now")
    expect(dialog).to_contain_text("break off in the middle")
    dialog.get_by_role("button", name="Break off and stop").click()
    expect(card(page, "chat").locator(".badge")).to_have_text("stopped", timeout=60_000)
    expect(other.locator(".turn .cost.bad")).to_be_visible()


def test_an_embedder_makes_a_vector(go: Callable[[str], Page]) -> None:
    page = go("try")
    ask(page, "Evidence", "aspirin")
    expect(page.locator(".turn .said").nth(1)).to_have_text(re.compile(r"^\[.*…\] \d+ numbers$"), timeout=30_000)
    expect(page.locator(".turn .cost")).to_contain_text("answer after")


def test_a_conversation_goes_on_without_what_had_no_answer_and_stays_when_the_view_is_left(
    go_wrong: Callable[[str], Page], stack: Installation
) -> None:
    stack.manage("start", "chat")
    page = go_wrong("try")
    sent: list[list[str]] = []
    page.on("request", lambda one: sent.append(roles(one.post_data_json)) if "chat/completions" in one.url else None)
    cost = page.locator(".turn .cost")
    ask(page, "Chat", "One")
    expect(cost.nth(0)).to_contain_text("tokens in", timeout=30_000)
    page.route("**/v1/chat/completions", lambda route: route.abort())
    ask(page, None, "Two")
    expect(cost.nth(1)).to_have_text("the proxy does not answer")
    page.unroute("**/v1/chat/completions")
    page.get_by_role("link", name="Queue").click()
    page.get_by_role("link", name="Try it").click()
    expect(page.locator(".turn.mine")).to_have_count(2)
    ask(page, None, "Three")
    expect(cost.nth(2)).to_contain_text("tokens in", timeout=30_000)
    assert sent == [["user"], ["user", "assistant", "user"], ["user", "assistant", "user"]]


def roles(body: dict[str, Any]) -> list[str]:
    return [one["role"] for one in body["messages"]]


def test_the_way_past_the_navigation_stays_in_the_view(go: Callable[[str], Page]) -> None:
    page = go("models")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Models")
    expect(heading, "who has just opened it starts at the top").not_to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(heading).to_be_focused()
    expect(heading).to_have_text("Models")


def test_who_types_no_more_than_the_address_gets_the_page(browser: Browser, stack: Installation) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        for path in ("/", "/ui/"):
            page.goto(f"{stack.url}{path}")
            assert page.url.partition("#")[0] == f"{stack.url}/ui"
            expect(page.get_by_role("heading", level=1)).to_have_text("Roster")


def test_what_if_says_who_would_leave_and_a_reload_shows_what_changes(
    go_wrong: Callable[[str], Page], stack: Installation
) -> None:
    stack.manage("start", "chat")
    page = go_wrong("whatif")
    page.get_by_label(re.compile("^claims")).check()
    expect(page.locator(".verdict")).to_have_text(re.compile(r"^They fit; all serve in .*\.$"))
    expect(page.locator(".seats")).to_contain_text("chat (")
    page.get_by_label(re.compile("^medical")).check()
    expect(page.locator(".verdict")).to_have_text("They do not fit at once.")
    page.get_by_role("button", name="Show pending changes").click()
    expect(page.locator("div.changes")).to_have_text("The files say what is served: nothing would change.")
    path = stack.catalog / "claims.yaml"
    entry = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**entry, "max_queue": 77}))
    page.get_by_role("button", name="Show pending changes").click()
    expect(page.locator("div.changes")).to_contain_text("claims: changed (max_queue), counts at once")
    page.get_by_role("button", name="Reload the catalog").click()
    page.get_by_role("dialog").get_by_role("button", name="Reload").click()
    expect(page.locator("#toast")).to_contain_text("The catalog was read again")
    path.write_text("name: [")
    page.get_by_role("button", name="Show pending changes").click()
    expect(page.locator("div.changes [role=alert]")).to_contain_text("claims.yaml")
    path.write_text(yaml.safe_dump(entry))
    assert stack.manage("reload").returncode == 0


def test_the_audit_is_searched_and_verified_and_shows_no_text(go: Callable[[str], Page], stack: Installation) -> None:
    words = "unheard of words"
    stack.manage("start", "chat")
    body = {"agent_type": "Chat", "messages": [{"role": "user", "content": words}], "max_tokens": 2}
    headers = {"X-Request-Id": "seen-on-the-page"}
    httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
    page = go("audit")
    expect(page.get_by_text("Which requests?")).to_be_visible()
    page.get_by_label("Exactly this was said").fill(words)
    page.get_by_role("button", name="Search").click()
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    row.locator("summary").click()
    expect(row).to_contain_text("seen-on-the-page")
    assert words not in page.locator(".results").inner_text()
    page.get_by_label("Exactly this was said").fill("")
    page.get_by_label("Key").fill("nobody")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing found")).to_be_visible()
    page.get_by_role("button", name="Verify all of it").click()
    expect(page.locator(".verdict .note.good")).to_contain_text(re.compile(r"whole: \d+ lines"))


def test_logs_are_followed_over_a_restart_and_searched(go: Callable[[str], Page], stack: Installation) -> None:
    stack.manage("start", "chat")
    page = go("logs/chat")
    log = page.locator("pre.log")
    expect(log).to_have_text(re.compile(r"\S"), timeout=10_000)
    with (stack.root / "var" / "log" / "chat.log").open("a") as file:
        file.write("a needle in it\n")
    expect(log).to_contain_text("a needle in it")
    log.evaluate("(one) => getSelection().selectAllChildren(one)")
    with (stack.root / "var" / "log" / "chat.log").open("a") as file:
        file.write("while it is marked\n")
    page.wait_for_timeout(1000)
    assert "while it is marked" not in log.inner_text()
    assert "a needle in it" in page.evaluate("getSelection().toString()")
    page.evaluate("getSelection().removeAllRanges()")
    expect(log).to_contain_text("while it is marked")
    stack.manage("stop", "chat")
    stack.manage("start", "chat")
    lines = len(log.inner_text().splitlines())
    with (stack.root / "var" / "log" / "chat.log").open("a") as file:
        file.write("after its restart\n")
    expect(log).to_contain_text("after its restart")
    assert len(log.inner_text().splitlines()) >= lines, "what was written before is still there"
    page.get_by_label("Search").fill("NEEDLE in")
    expect(log).to_have_text("a needle in it")
    page.get_by_label("Search").fill("")
    page.get_by_label("Log of", exact=True).select_option("proxy")
    expect(page.locator("pre.log")).to_contain_text("chat: starting -> ready")


def test_a_proxy_that_is_killed_is_missed_and_found_again(browser: Browser, stack: Installation) -> None:
    stack.manage("start", "chat")
    with opened(browser, stack.url, "roster", may_fail=True) as page:
        rows = page.locator("table.changes tbody tr").filter(has_text="chat")
        expect(rows.first).to_be_visible()
        os.kill(stack.status()["proxy"]["pid"], signal.SIGKILL)
        link = page.locator("#link")
        expect(link).to_have_text(re.compile("^not connected"), timeout=10_000)
        expect(link).to_have_text("live", timeout=60_000)
        found = page.locator("table.changes tr").filter(has_text="found running, from an earlier life")
        expect(found.first).to_be_visible()
        assert rows.filter(has_not_text="found running").count() > 0, "what was seen before is still shown"
        assert stack.state("chat") == "ready"


def test_a_page_that_is_opened_while_the_proxy_is_away_waits_for_it(browser: Browser, stack: Installation) -> None:
    with opened(browser, stack.url, "models", may_fail=True) as page:
        expect(card(page, "chat")).to_be_visible()
        stop = threading.Event()
        page.route("**/status", lambda route: route.continue_() if stop.is_set() else route.abort())
        page.reload()
        expect(page.get_by_role("heading", name="The proxy does not answer")).to_be_visible()
        stop.set()
        expect(card(page, "chat")).to_be_visible(timeout=15_000)


@pytest.mark.parametrize("size", [(1280, 900, "light"), (1280, 900, "dark"), (360, 780, "light"), (2560, 1300, "dark")])
def test_every_view_can_be_used_by_everybody(browser: Browser, stack: Installation, size: tuple[int, int, str]) -> None:
    """axe-core finds nothing, nothing is wider than the window, and the keyboard reaches it."""
    from axe_playwright_python.sync_playwright import Axe  # slow to import

    width, height, scheme = size
    for view, heading in VIEWS.items():
        with opened(browser, stack.url, view, width=width, height=height, scheme=scheme) as page:
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            page.wait_for_timeout(300)
            faults = Axe().run(page).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in faults] == [], view
            assert page.evaluate("document.documentElement.scrollWidth") <= width, view
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement !== document.body"), view
