"""The page where there are keys: it opens for a key that counts, and offers what the key may do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.installation import Installation, fake_model, running
from tests.page.browser import VIEWS, opened


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = Path(tmp_path_factory.mktemp("k"))
    with running(Installation(folder, [fake_model("chat")], {"Chat": "chat"}, 4.5)) as installation:
        yield installation


@pytest.fixture(scope="module")
def keys(box: Installation) -> dict[str, str]:
    """One of each role, by its name."""
    made = {role: box.manage("keys", "make", role, "--role", role) for role in ("client", "monitor", "admin")}
    return {role: done.stdout.split()[-1] for role, done in made.items()}


def unlock(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Open").click()


def test_without_a_key_it_asks_for_one_and_says_what_is_wrong_with_it(
    browser: Browser, box: Installation, keys: dict[str, str]
) -> None:
    with opened(browser, box.url, "models", may_fail=True) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("This Rota has keys")
        unlock(page, "sk-rota-000000000000-wrong")
        expect(page.get_by_role("alert")).to_contain_text("This key does not open it")
        unlock(page, keys["client"])
        expect(page.get_by_role("alert")).to_contain_text("This key does not open it")
        unlock(page, keys["admin"])
        expect(page.get_by_role("heading", level=1)).to_have_text(VIEWS["models"])
        expect(page.locator("#link")).to_have_text("live")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text(VIEWS["models"])
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("This Rota has keys")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("This Rota has keys")


def test_who_may_only_look_is_offered_nothing_else(browser: Browser, box: Installation, keys: dict[str, str]) -> None:
    with opened(browser, box.url, "models", may_fail=True) as page:
        unlock(page, keys["monitor"])
        card = page.get_by_role("article", name="chat")
        expect(card).to_be_visible()
        expect(card.get_by_role("button")).to_have_count(0)
        page.get_by_role("link", name="Audit").click()
        expect(page.get_by_text("Only an admin's key may read the audit.")).to_be_visible()
        expect(page.get_by_role("button", name="Search")).to_have_count(0)
        page.get_by_role("link", name="Logs").click()
        expect(page.locator("pre.log")).to_contain_text("serving http")


def test_an_admin_does_all_and_is_named(browser: Browser, box: Installation, keys: dict[str, str]) -> None:
    with opened(browser, box.url, "models", may_fail=True) as page:
        unlock(page, keys["admin"])
        card = page.get_by_role("article", name="chat")
        card.get_by_role("button", name="Start chat").click()
        expect(card.locator(".badge")).to_have_text("ready", timeout=30_000)
        card.get_by_role("button", name="Stop chat").click()
        page.get_by_role("dialog").get_by_role("button", name="Drain and stop").click()
        expect(card.locator(".notes")).to_contain_text("stopped by the key admin", timeout=10_000)
        assert "sk-rota-" not in page.content()


def test_a_key_that_is_revoked_locks_the_page_again(browser: Browser, box: Installation, keys: dict[str, str]) -> None:
    with opened(browser, box.url, "roster", may_fail=True) as page:
        unlock(page, keys["monitor"])
        expect(page.locator("#link")).to_have_text("live")
        assert box.manage("keys", "revoke", "monitor").returncode == 0
        expect(page.get_by_role("heading", level=1)).to_have_text("This Rota has keys", timeout=20_000)
