from pathlib import Path

from catalog.download.manifest import Manifest, records_of, write_manifest
from catalog.download.outcome import Came, Outcome, what_is_there
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import model


def there(root: Path, spec: ModelSpec, revision: str = "main") -> Path:
    folder = spec.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = records_of(folder)
    told = Manifest(source="o/m", revision=revision, commit="0123456789", downloaded_at="2026-11-26", files=files)
    write_manifest(folder, told)
    return folder


def test_an_outcome_is_one_line() -> None:
    assert str(Outcome("m", Came.FAILED, "why")) == "m: failed: why"


def test_what_was_downloaded_is_there_with_its_commit(tmp_path: Path) -> None:
    spec = model(tmp_path)
    folder = there(tmp_path, spec)
    assert what_is_there(spec) == Outcome("m", Came.THERE, f"{folder} (o/m at 01234567)")


def test_what_the_user_brought_is_there(tmp_path: Path) -> None:
    spec = model(tmp_path)
    assert what_is_there(spec) == Outcome("m", Came.THERE, str(spec.folder))


def test_what_is_of_another_revision_than_the_catalog_names_stays_and_is_said(tmp_path: Path) -> None:
    spec = model(tmp_path, source=Source(repo="o/m", revision="v2"))
    there(tmp_path, spec)
    outcome = what_is_there(spec)
    assert outcome.came is Came.THERE
    assert "is of o/m at 'main'; the catalog names o/m at 'v2': move it away" in outcome.text
    by_commit = model(tmp_path, source=Source(repo="o/m", revision="0123456789"))
    assert "move it away" not in what_is_there(by_commit).text
