"""The pages in docs/ say all that there is to say, and nothing that is not so any more."""

import re
from pathlib import Path

import pytest

from catalog.schema import keys
from catalog.spec import AgentRoute, Agents, ModelSpec, Source
from proxy.core import diagnose, headers, states
from proxy.happenings import Kind
from proxy.reference import all_errors, files
from tests.installation import CHECKOUT
from tests.test_project import README, metric_names

DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("name", sorted(files()))
def test_what_the_code_knows_is_written_as_it_knows_it(name: str) -> None:
    assert (DOCS / name).read_text() == files()[name], "make docs"


def test_every_key_of_the_catalog_is_said() -> None:
    page = (DOCS / "catalog.md").read_text()
    for kind in (ModelSpec, Source, Agents, AgentRoute):
        for key in keys(kind):
            assert f"| `{key.name}` |" in page, key
            assert key.what, f"{key.name} of {kind.__name__} has no word about what it is for"


def test_every_error_has_its_remedy() -> None:
    page = (DOCS / "errors.md").read_text()
    for kind in all_errors():
        assert f"| `{kind.code}` | {kind.status} |" in page
    for diagnosis in diagnose.all_diagnoses():
        assert f"| `{diagnosis.code}` |" in page


def test_every_metric_is_among_what_to_watch() -> None:
    page = (DOCS / "operations.md").read_text()
    assert metric_names() == set(re.findall(r"`(rota_\w+)", page))


def test_every_kind_of_event_and_every_header_of_ours_is_in_the_api() -> None:
    page = (DOCS / "api.md").read_text()
    for kind in Kind:
        assert f"| `{kind}` |" in page
    for name in (headers.MODEL, headers.WAITED, headers.SWAP, headers.FALLBACK, headers.ERROR_MARK, headers.REQUEST_ID):
        assert f"`{name}`" in page
    for name in (headers.AGENT_TYPE, headers.DEADLINE):
        assert f"`{name}`" in page


def test_the_drawing_of_the_states_is_that_of_the_code() -> None:
    drawn = re.search(r"```\n(STOPPED ->.*?)\n```", (DOCS / "design.md").read_text(), re.DOTALL)
    assert drawn is not None
    there = [line.strip() for line in (states.__doc__ or "").splitlines()]
    for line in drawn[1].splitlines():
        assert line.strip() in there
    for state in states.EngineState:
        assert state.name in drawn[1]


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda path: path.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", page.read_text()):
        assert not target or (page.parent / target).exists(), target
    anchors = {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in _heads(page)}
    for anchor in re.findall(r"\]\(#([^)]*)\)", page.read_text()):
        assert anchor in anchors, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_page_is_linked_from_the_readme(page: Path) -> None:
    assert f"(docs/{page.name})" in README.read_text()


def _heads(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
