"""A tour of the page at /ui in a real browser, with real vLLM: each view, each act, a swap while it happens.

What each view does in detail is in tests/page, with fakes. The parts share starts, which take half a minute each.
"""

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import AGENTS, BUDGET_GIB, reals
from tests.installation import REAL_VLLM, Installation, eventually, running
from tests.page.browser import ask, card, chromium, coloured, opened, press

START_MS = 240_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def box(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The demo's models, on real vLLM."""
    assert REAL_VLLM.exists(), "make setup"
    with running(Installation(tmp_path_factory.mktemp("t"), reals(), AGENTS, BUDGET_GIB)) as installation:
        yield installation


@pytest.mark.vllm
def test_a_stream_is_had_and_a_swap_is_seen_on_the_roster_while_it_happens(browser: Browser, box: Installation) -> None:
    with (
        opened(browser, box.url, "roster") as roster,
        opened(browser, box.url, "queue") as queue,
        opened(browser, box.url, "try") as other,
    ):
        ask(other, "Chat", "Hello there")
        expect(queue.locator(".queue").get_by_role("row").filter(has_text="Chat")).to_be_visible(timeout=30_000)
        took = re.compile(r"^chat · waited .* · for its start · first token after .* · \d+ tokens in .* · .* tokens/s$")
        expect(other.locator(".turn .cost")).to_have_text(took, timeout=START_MS)
        expect(other.locator(".turn .said").nth(1)).to_have_text(re.compile(r"\w{3}"))
        roster.get_by_role("button", name="5 min", exact=True).click()
        lane = roster.locator(".lane canvas").first
        eventually(lambda: coloured(lane, "--state-ready") > 0, every_s=0.2)
        before = coloured(lane, "--state-starting")
        ask(other, "Claims", "Is this covered?")
        expect(roster.locator(".next")).to_contain_text("claims is", timeout=30_000)
        eventually(lambda: coloured(lane, "--state-starting") > before, within_s=60, every_s=0.2)
        rows = roster.locator("table.changes").get_by_role("row")
        expect(rows.filter(has_text="claims").filter(has_text="ready").first).to_be_visible(timeout=START_MS)
        expect(rows.filter(has_text="for claims: its oldest request has waited").first).to_be_visible()
        expect(other.locator(".turn .cost").last).to_contain_text("tokens in", timeout=60_000)
        assert box.state("claims") == "ready"


@pytest.mark.vllm
def test_every_act_is_done_from_the_page(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "models") as page, opened(browser, box.url, "try", may_fail=True) as other:
        badge = card(page, "claims").locator(".badge")
        press(page, "claims", "Pin")
        expect(card(page, "claims").locator(".chip.pinned")).to_be_visible()
        press(page, "claims", "Unpin")
        press(page, "claims", "Sleep")
        expect(badge).to_have_text("asleep, level 1", timeout=60_000)
        press(page, "claims", "Start")
        expect(badge).to_have_text("ready", timeout=60_000)
        ask(other, "Claims", "Tell me everything that you know", most=1500)
        expect(other.locator(".turn .cost")).to_contain_text("tokens in", timeout=60_000)
        press(page, "claims", "Stop")
        page.get_by_role("dialog").get_by_role("button", name="Drain and stop").click()
        press(page, "claims", "Stop now")
        page.get_by_role("dialog").get_by_role("button", name="Break off and stop").click()
        expect(badge).to_have_text("stopped", timeout=60_000)
        expect(other.locator(".turn .cost.bad")).to_be_visible()


@pytest.mark.vllm
def test_the_other_views_show_what_real_engines_say(browser: Browser, box: Installation) -> None:
    with opened(browser, box.url, "logs/claims") as page:
        expect(page.locator("pre.log")).to_contain_text("Application startup complete", timeout=10_000)
        go(page, "Audit")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("tbody tr").filter(has_text="Claims").first).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Verify all of it").click()
        expect(page.locator(".verdict .note.good")).to_contain_text(re.compile(r"whole: \d+ lines"), timeout=20_000)
        go(page, "What if")
        page.get_by_label(re.compile("^chat")).check()
        expect(page.locator(".verdict")).to_have_text(re.compile(r"^They fit; all serve in .*\.$"))
        page.get_by_role("button", name="Show pending changes").click()
        expect(page.locator("div.changes")).to_have_text("The files say what is served: nothing would change.")


@pytest.mark.vllm
def test_a_proxy_that_is_killed_is_missed_and_found_again_with_its_engines(browser: Browser, box: Installation) -> None:
    assert box.manage("start", "chat").returncode == 0
    with opened(browser, box.url, "roster", may_fail=True) as page:
        rows = page.locator("table.changes tbody tr")
        expect(rows.filter(has_text="chat").first).to_be_visible()
        os.kill(box.status()["proxy"]["pid"], signal.SIGKILL)
        expect(page.locator("#link")).to_have_text(re.compile("^not connected"), timeout=10_000)
        expect(page.locator("#link")).to_have_text("live", timeout=60_000)
        expect(rows.filter(has_text="found running, from an earlier life").first).to_be_visible()
        assert rows.filter(has_text="claims").count() > 0, "what was seen before is still shown"
        assert box.state("chat") == "ready"


def go(page: Page, view: str) -> None:
    page.get_by_role("link", name=view, exact=True).click()
