"""The page's files: small, whole, and with nothing from elsewhere."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from proxy.web import app as web_app
from proxy.web.middleware import render_errors
from proxy.web.page import Page

FOLDER = Path(web_app.__file__).parent / "ui"
MOST_BYTES = 150_000


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = web.Application(middlewares=[render_errors])
    app.add_routes(Page().routes())
    runner = web_app.runner(app)
    await runner.setup()
    await web_app.listen_unix(runner, tmp_path / "s.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        yield client
    await runner.cleanup()


async def test_every_file_that_a_file_names_is_there_and_of_its_kind(client: httpx.AsyncClient) -> None:
    page = await client.get("/ui")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    wanted, seen = set(re.findall(r'(?:src|href)="(ui/[^"]+)"', page.text)), set()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        got = await client.get(f"/{name}")
        assert got.status_code == 200, name
        if name.endswith(".js"):
            assert got.headers["Content-Type"] == "text/javascript; charset=utf-8"
            wanted |= {f"ui/{one}" for one in re.findall(r'from "\./([^"]+)"', got.text)}
    assert {f"ui/{file.name}" for file in FOLDER.iterdir()} - {"ui/index.html"} == seen


async def test_nothing_is_fetched_from_elsewhere_and_a_browser_is_told_so(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/ui")).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    for file in FOLDER.iterdir():
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|@import|innerHTML|eval\(", text), file.name


def test_all_of_it_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MOST_BYTES


def test_no_file_is_long() -> None:
    assert {file.name for file in FOLDER.iterdir() if len(file.read_text().splitlines()) > 300} == set()


def test_the_page_says_its_language_and_its_name_and_closes_what_it_opens() -> None:
    opened: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link", "img"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    text = (FOLDER / "index.html").read_text()
    Parser().feed(text)
    assert opened == []
    assert '<html lang="en">' in text
    assert "<title>" in text


async def test_a_browser_that_has_it_is_told_that_it_is_the_same(client: httpx.AsyncClient) -> None:
    first = await client.get("/ui/app.js")
    again = await client.get("/ui/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["Content-Encoding"] in ("gzip", "deflate")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "page.py"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    got = await client.get(f"/ui/{name}")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "not_found")
