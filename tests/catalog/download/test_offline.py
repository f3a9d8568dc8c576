"""What is brought from copies; a hub is there only where a copy is made by huggingface_hub itself."""

import errno
import os
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from catalog.download import offline as module
from catalog.download.hub_errors import HubError
from catalog.download.manifest import MANIFEST_FILE, read_manifest
from catalog.download.offline import Shelf
from catalog.download.snapshot import keep_small_files, look
from catalog.download.staging import Staging
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import SHARD, WANTED, faults_of, files_below, model, repository
from tests.fake_hub import FakeHub


class Watcher:
    def __init__(self) -> None:
        self.count = 0

    def moved(self, count: int) -> None:
        self.count += count

    def doing(self, what: str) -> None:
        assert what == "reading all files for their hashes"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    repository(tmp_path / "shelf" / "o" / "m")
    return Shelf(tmp_path / "shelf")


def bring(shelf: Shelf, spec: ModelSpec, root: Path) -> tuple[Path, Watcher]:
    assert spec.source is not None
    seen = look(spec, spec.source, shelf)
    keep_small_files(seen, shelf, root / "small")
    staging = Staging(spec, seen, shelf)
    staging.target.parent.mkdir(parents=True, exist_ok=True)
    watch = Watcher()
    staging.bring(root, watch, 0)
    return staging.target, watch


def test_the_wanted_files_are_linked_from_the_copy(shelf: Shelf, tmp_path: Path) -> None:
    target, watch = bring(shelf, model(tmp_path), tmp_path)
    assert set(files_below(target)) == WANTED | {MANIFEST_FILE}
    assert (target / SHARD.format(1)).samefile(shelf.folder / "o" / "m" / SHARD.format(1))
    assert watch.count == sum((target / name).stat().st_size for name in WANTED)
    manifest = read_manifest(target)
    assert manifest is not None
    assert manifest.commit == "a copy of main"


def test_on_another_disk_they_are_copied(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(_: Path, __: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(module.os, "link", link)
    target, watch = bring(shelf, model(tmp_path), tmp_path)
    assert not (target / SHARD.format(1)).samefile(shelf.folder / "o" / "m" / SHARD.format(1))
    assert files_below(target)[SHARD.format(1)] == files_below(shelf.folder / "o" / "m")[SHARD.format(1)]
    assert watch.count == sum((target / name).stat().st_size for name in WANTED)


def test_links_take_no_room(shelf: Shelf, tmp_path: Path) -> None:
    assert not shelf.takes_room(tmp_path / "models" / "not" / "yet")
    spec = model(tmp_path)
    assert spec.source is not None
    assert Staging(spec, look(spec, spec.source, shelf), shelf).room_bytes() == 0


def test_what_a_cache_of_the_hub_links_to_is_what_is_linked(shelf: Shelf, tmp_path: Path) -> None:
    shard = shelf.folder / "o" / "m" / SHARD.format(1)
    blob = shard.rename(tmp_path / "blob")
    shard.symlink_to(blob)
    target, _ = bring(shelf, model(tmp_path), tmp_path)
    assert not (target / SHARD.format(1)).is_symlink()
    assert (target / SHARD.format(1)).samefile(blob)


def test_a_downloaded_folder_is_a_copy_that_is_verified(tmp_path: Path, shelf: Shelf) -> None:
    target, _ = bring(shelf, model(tmp_path), tmp_path)
    source = Source(repo="o/m", path="it/was/below", tokenizer_repo="o/elsewhere")
    (tmp_path / "second" / "o").mkdir(parents=True)
    os.rename(target, tmp_path / "second" / "o" / "m")  # noqa: PTH104
    second = Shelf(tmp_path / "second")
    again, _ = bring(second, model(tmp_path, source=source), tmp_path)
    assert set(files_below(again)) == WANTED | {MANIFEST_FILE}
    assert faults_of(again) == []
    shard = second.folder / "o" / "m" / SHARD.format(1)
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    with pytest.raises(HubError, match="another content than was downloaded"):
        bring(second, model(tmp_path, "other", source=source), tmp_path)


def test_a_copy_of_another_revision_or_with_spoilt_files_is_refused(tmp_path: Path, shelf: Shelf) -> None:
    target, _ = bring(shelf, model(tmp_path), tmp_path)
    (tmp_path / "second" / "o").mkdir(parents=True)
    copy = target.rename(tmp_path / "second" / "o" / "m")
    second = Shelf(tmp_path / "second")
    with pytest.raises(HubError, match=r"of revision 'main' .* and 'v2' is asked for: bring that one"):
        second.listing("o/m", "v2")
    (copy / SHARD.format(2)).unlink()
    with pytest.raises(HubError, match=r"its copy is not complete: .*model-00002.* is missing"):
        second.fetch(second.listing("o/m", "main"), SHARD.format(2), tmp_path / "part", lambda _: None)
    with pytest.raises(HubError, match=r"No such file or directory"):
        second.read(second.listing("o/m", "main"), SHARD.format(2))


def test_the_cache_of_huggingface_hub_is_a_folder_of_copies_with_hashes(tmp_path: Path) -> None:
    folder = repository(tmp_path / "hub" / "m")
    with FakeHub({"o/m": folder}) as hub:
        snapshot_download("o/m", endpoint=hub.url, cache_dir=tmp_path / "cache")
        commit = hub.commit("o/m")
    shelf = Shelf(tmp_path / "cache")
    listing = shelf.listing("o/m", "main")
    assert listing.commit == commit
    assert all(record.hash is not None for record in listing.files.values())
    target, _ = bring(shelf, model(tmp_path), tmp_path)
    assert set(files_below(target)) == WANTED | {MANIFEST_FILE}
    assert not (target / SHARD.format(1)).is_symlink()
    assert faults_of(target) == []
    assert shelf.listing("o/m", commit).files == listing.files
    with pytest.raises(HubError, match=rf"has no revision 'v2': bring it, or name one that it has \({commit}\)$"):
        shelf.listing("o/m", "v2")


def test_a_copy_that_is_not_there_is_named_and_no_hub_is_asked(shelf: Shelf) -> None:
    with pytest.raises(
        HubError, match=r"^o/n: there is no .*shelf/o/n, and hub_folder is set, so that no hub is asked"
    ):
        shelf.listing("o/n", "main")
