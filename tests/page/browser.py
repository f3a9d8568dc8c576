"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

VIEWS = {
    "roster": "Roster",
    "models": "Models",
    "queue": "Queue",
    "logs": "Logs",
    "try": "Try it",
    "whatif": "What if",
    "audit": "Audit",
}
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """While in it, it runs; without one on this machine the test is skipped."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no browser here: one of {', '.join(NAMES)} (apt install chromium)")
    with sync_playwright() as playwright:
        # Its sandbox needs privileges that containers do not give; it sees no page but ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser,
    url: str,
    view: str,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    may_fail: bool = False,
    script: str = "",
) -> Iterator[Page]:
    """`view` in a window of its own, in which `script` ran first.

    What the page says is wrong fails the test, unless requests `may_fail`.
    """
    said: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    context.add_init_script(script)
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(f"{error}"))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" and not may_fail else None)
    page.goto(f"{url}/ui#{view}")
    try:
        yield page
    finally:
        context.close()
    assert said == [], f"the page says: {said}"


def card(page: Page, model: str) -> Locator:
    return page.get_by_role("article", name=model)


def press(page: Page, model: str, verb: str) -> None:
    card(page, model).get_by_role("button", name=f"{verb} {model}", exact=True).click()


def ask(page: Page, agent_type: str | None, text: str, most: int = 24) -> None:
    if agent_type is not None:
        page.get_by_label("Ask").select_option(f"agent:{agent_type}")
    if page.get_by_label("at most").is_enabled():
        page.get_by_label("at most").fill(str(most))
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Send").click()


def coloured(canvas: Locator, name: str) -> int:
    """How many pixels of it have the colour of the variable `name`."""
    return int(
        canvas.evaluate(
            """(canvas, name) => {
                const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
                const [r, g, b] = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let at = 0; at < data.length; at += 4) {
                  if (data[at] === r && data[at + 1] === g && data[at + 2] === b) count += 1;
                }
                return count;
            }""",
            name,
        )
    )
