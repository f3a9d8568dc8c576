"""The end of a download by itself; with all that comes before it, it is tested in test_staging and test_repair."""

from pathlib import Path
from typing import Any

import pytest

from catalog.download import finishing
from catalog.download.fetch import FetchError
from catalog.download.finishing import DONE_FILE, Finishing
from catalog.download.manifest import FileRecord, read_manifest
from catalog.download.snapshot import Snapshot, Wanted
from tests.catalog.download.hub_stage import model

CONFIG = FileRecord(path="config.json", size_bytes=2, hash=None)


class Quiet:
    def moved(self, count: int) -> None:
        pass

    def doing(self, what: str) -> None:
        pass


class End:
    """All files of a repository are there; its one file is config.json."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec = model(root)
        self.target = Path(self.spec.weights)
        self.folder = self.target.with_name(f"{self.target.name}.download")
        self.files = self.folder / "files"
        self.files.mkdir(parents=True)
        (self.files / "config.json").write_text("{}")
        wanted = Wanted(record=CONFIG, path="config.json", origin=0)
        more: dict[str, Any] = {"path": "", "tokenizer": None, "tokenizer_commit": None}
        self.snapshot = Snapshot(repo="o/m", revision="main", commit="c" * 40, files=(wanted,), **more)
        self.finishing = Finishing(self.spec, self.snapshot, self.folder, self.files)


@pytest.fixture
def end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> End:
    monkeypatch.setattr(finishing.converting, "needs_conversion", lambda _: None)
    return End(tmp_path)


def test_what_is_there_gets_its_manifest_and_is_put_into_place(end: End) -> None:
    end.finishing.finish(end.root, Quiet(), 0)
    manifest = read_manifest(end.target)
    assert manifest is not None
    assert (manifest.source, manifest.converted, [one.path for one in manifest.files]) == ("o/m", None, ["config.json"])
    assert not end.folder.exists()


def test_what_is_no_model_is_refused_and_stays_where_it_is(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_model(_: Path) -> None:
        raise finishing.converting.ConversionError("there is no checkpoint")

    monkeypatch.setattr(finishing.converting, "needs_conversion", no_model)
    with pytest.raises(FetchError, match="o/m is no model that can be served: there is no checkpoint"):
        end.finishing.finish(end.root, Quiet(), 0)
    assert (end.files / "config.json").exists()
    assert not end.target.exists()


def test_a_model_that_was_taken_from_its_place_comes_back_if_no_other_came(end: End) -> None:
    (end.folder / "replaced").mkdir()
    (end.folder / "replaced" / "old").touch()
    end.finishing.undo_half()
    assert (end.target / "old").exists()
    (end.folder / "replaced").mkdir()
    end.finishing.undo_half()
    assert (end.folder / "replaced").exists(), "another is there"


def test_the_mark_says_that_the_rest_is_nobodys(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing.shutil, "rmtree", lambda *_, **__: None)  # killed before it
    end.finishing.finish(end.root, Quiet(), 0)
    assert (end.folder / DONE_FILE).exists()
