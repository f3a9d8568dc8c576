"""Models that were downloaded and then damaged, brought again from the fake hub; what is sound is not sent twice."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog.download import download as module, finishing, staging
from catalog.download.download import Downloads
from catalog.download.fetch import FetchError
from catalog.download.manifest import MANIFEST_FILE, read_manifest
from catalog.download.offline import Shelf
from catalog.download.outcome import Came, Outcome
from catalog.download.repair import Damage, damage_of, own_files, put_in_place, why_not_repaired
from catalog.download.stop import Stop
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import SHARD, WANTED, client, faults_of, files_below, model, quiet, repository
from tests.fake_hub import FakeHub


class Stage:
    """A model that was downloaded from a hub."""

    def __init__(self, root: Path, hub: FakeHub) -> None:
        self.root, self.hub = root, hub
        self.spec = model(root)
        self.folder = Path(self.spec.weights)
        self.said = ""
        assert self.bring().came is Came.READY

    def bring(self, spec: ModelSpec | None = None, **more: Any) -> Outcome:
        progress, _, err = quiet()
        [outcome] = Downloads(self.root, client(self.hub.url), progress, Stop()).run([spec or self.spec], **more)
        self.said = err.getvalue()
        return outcome

    def flip(self, name: str) -> None:
        content = (self.folder / name).read_bytes()
        (self.folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def fetches(self, number: int) -> int:
        """How often a shard was asked for. Each look at the repository reads the headers of all."""
        return self.hub.requests.count(f"GET /lfs/o/m/{SHARD.format(number)}")

    def is_whole(self) -> bool:
        lies = files_below(self.folder)
        at_hub = {name: (self.hub.repositories["o/m"] / name).read_bytes() for name in WANTED}
        return {name: lies.get(name) for name in WANTED} == at_hub and faults_of(self.folder) == []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with FakeHub({"o/m": repository(tmp_path / "hub" / "m")}) as hub:
        yield Stage(tmp_path, hub)


def test_a_shard_that_is_missing_is_fetched_and_nothing_else(stage: Stage) -> None:
    (stage.folder / SHARD.format(2)).unlink()
    outcome = stage.bring()
    assert (outcome.came, outcome.text.startswith("repaired: 0.0 MiB of 0.0 MiB from o/m at ")) == (Came.READY, True)
    assert f"m: {stage.folder} is damaged ({SHARD.format(2)} is missing)" in stage.said
    assert stage.is_whole()
    assert [stage.fetches(number) for number in (1, 2, 3)] == [3, 4, 3]
    assert [path.name for path in stage.folder.parent.iterdir() if not path.name.startswith(".")] == ["m"]
    assert stage.bring().came is Came.THERE


def test_a_byte_that_differs_is_found_where_that_is_asked_for_and_mended(stage: Stage) -> None:
    stage.flip(SHARD.format(3))
    assert stage.bring().came is Came.THERE
    assert stage.bring(repair=True).came is Came.READY
    assert "has another content than was downloaded" in stage.said
    assert stage.is_whole()
    assert stage.bring(repair=True).came is Came.THERE


def test_where_one_file_is_damaged_all_are_read(stage: Stage) -> None:
    stage.flip(SHARD.format(1))
    (stage.folder / "config.json").unlink()
    assert stage.bring().came is Came.READY
    assert stage.is_whole()


def test_what_a_person_has_put_there_stays(stage: Stage) -> None:
    (stage.folder / "notes").mkdir()
    (stage.folder / "notes" / "mine.txt").write_text("mine")
    (stage.folder / SHARD.format(2)).write_bytes(b"cut off")
    assert stage.bring().came is Came.READY
    assert stage.is_whole()
    assert (stage.folder / "notes" / "mine.txt").read_text() == "mine"


def test_a_repair_that_fails_leaves_no_model_and_the_next_one_goes_on(stage: Stage) -> None:
    stage.flip(SHARD.format(1))
    (stage.folder / SHARD.format(2)).unlink()
    (stage.folder / "mine.txt").write_text("mine")
    stage.hub.misbehave(f"o/m/{SHARD.format(2)}", times=1)  # its header is read
    stage.hub.misbehave(f"o/m/{SHARD.format(2)}", status=404, error_code="EntryNotFound")
    assert stage.bring().came is Came.FAILED
    assert not stage.folder.exists()
    stage.hub.behave()
    assert stage.bring().came is Came.READY
    assert stage.is_whole()
    assert (stage.folder / "mine.txt").read_text() == "mine"
    assert stage.fetches(3) == 4  # once it was fetched, thrice its header was read


def test_a_repair_that_is_killed_before_the_rename_is_begun_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    (stage.folder / SHARD.format(2)).unlink()

    def killed(_: Path, __: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(staging.Path, "rename", killed)
        assert stage.bring().came is Came.FAILED
    assert (stage.folder / "config.json").exists()
    assert stage.bring().came is Came.READY
    assert stage.is_whole()


def test_where_the_hub_cannot_be_asked_nothing_is_moved(stage: Stage) -> None:
    (stage.folder / SHARD.format(2)).unlink()
    before = files_below(stage.folder)
    stage.hub.misbehave("o/m", status=404)
    assert stage.bring().came is Came.FAILED
    assert files_below(stage.folder) == before


def test_a_dry_run_says_what_is_damaged_and_touches_nothing(stage: Stage) -> None:
    (stage.folder / SHARD.format(2)).unlink()
    before = files_below(stage.folder)
    assert stage.bring(dry_run=True).came is Came.PLANNED
    assert "is missing" in stage.said
    assert files_below(stage.folder) == before


def test_what_is_of_another_source_or_a_link_is_not_touched(stage: Stage) -> None:
    (stage.folder / SHARD.format(2)).unlink()
    other = msgspec.structs.replace(stage.spec, source=Source(repo="o/x"))
    outcome = stage.bring(other)
    assert (outcome.came, "it is of o/m, and the catalog names o/x: move it away" in outcome.text) == (
        Came.FAILED,
        True,
    )
    elsewhere = stage.folder.rename(stage.root / "elsewhere")
    stage.folder.symlink_to(elsewhere)
    outcome = stage.bring()
    assert (outcome.came, f"it is a link: name {elsewhere} in" in outcome.text) == (Came.FAILED, True)
    assert "move it away, and put it there again" in (why_not_repaired(model(stage.root, "n"), stage.root) or "")


def test_another_that_has_repaired_it_meanwhile_is_believed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([Damage(("x is missing",), frozenset(), is_converted=False), None])
    monkeypatch.setattr(module, "damage_of", lambda *_, **__: next(found))
    assert stage.bring().came is Came.THERE
    assert stage.is_whole()


def test_a_converted_model_is_brought_anew_and_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = False

    def convert(source: Path, target: Path, root: Path, *, dtype: str, lock: int) -> None:
        if fails:
            raise FetchError("it cannot be done")
        shutil.copytree(source, target)
        (target / "model.safetensors").write_bytes(b"converted")

    monkeypatch.setattr(finishing, "convert", convert)
    monkeypatch.setattr(finishing.converting, "needs_conversion", lambda _: "it must be")
    with FakeHub({"o/m": repository(tmp_path / "hub" / "m")}) as hub:
        stage = Stage(tmp_path, hub)
        (stage.folder / "mine.txt").write_text("mine")
        (stage.folder / "model.safetensors").unlink()
        fails = True
        assert stage.bring().came is Came.FAILED
        assert "which was converted: it is brought anew" in stage.said
        assert (stage.folder / "config.json").exists()
        fails = False
        assert stage.bring().came is Came.READY
        assert faults_of(stage.folder) == []
        assert (stage.folder / "mine.txt").read_text() == "mine"
        assert not stage.folder.with_name("m.download").exists()


def test_a_folder_of_copies_repairs_too_and_one_that_is_as_damaged_does_not(stage: Stage, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "o" / "m"
    shutil.copytree(stage.folder, copy)
    stage.flip(SHARD.format(3))
    progress, _, err = quiet()
    downloads = Downloads(tmp_path, Shelf(tmp_path / "copies"), progress, Stop())
    assert [outcome.came for outcome in downloads.run([stage.spec], repair=True)] == [Came.READY], err.getvalue()
    assert stage.is_whole()
    assert (copy / SHARD.format(3)).samefile(stage.folder / SHARD.format(3))
    content = bytearray((copy / SHARD.format(3)).read_bytes())
    content[-1] ^= 1
    (copy / SHARD.format(3)).write_bytes(content)  # the same file, twice
    [outcome] = downloads.run([stage.spec], repair=True)
    assert (outcome.came, "is hub_endpoint or hub_folder a true copy?" in outcome.text) == (Came.FAILED, True)
    assert stage.bring().came is Came.READY  # from the hub, which is sound
    assert stage.is_whole()


def test_several_are_repaired_each_by_itself(stage: Stage) -> None:
    other = model(stage.root, "n")
    assert stage.bring(other).came is Came.READY
    (stage.folder / SHARD.format(1)).unlink()
    (Path(other.weights) / "config.json").unlink()
    progress, _, _ = quiet()
    outcomes = Downloads(stage.root, client(stage.hub.url), progress, Stop()).run([stage.spec, other], at_once=2)
    assert [outcome.came for outcome in outcomes] == [Came.READY, Came.READY]
    assert stage.is_whole()
    assert faults_of(Path(other.weights)) == []


def test_nothing_is_known_of_the_damage_of_what_has_no_manifest(stage: Stage) -> None:
    manifest = read_manifest(stage.folder)
    (stage.folder / SHARD.format(2)).unlink()
    damage = damage_of(stage.folder, with_hashes=True)
    assert damage is not None
    assert (str(damage), len(damage.sound), damage.stays) == (f"{SHARD.format(2)} is missing", 5, damage.sound)
    (stage.folder / MANIFEST_FILE).unlink()
    assert damage_of(stage.folder, with_hashes=True) is None
    assert own_files(stage.folder) == WANTED - {SHARD.format(2)}
    assert manifest is not None


def test_a_model_takes_the_place_of_one_that_is_there_with_what_a_person_put_into_that(tmp_path: Path) -> None:
    ready, target = repository(tmp_path / "ready"), tmp_path / "m"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    (target / "config.json").write_text("theirs, long ago")
    put_in_place(ready, target, tmp_path / "aside")
    assert (target / "mine.txt").read_text() == "mine"
    assert "Llama" in (target / "config.json").read_text()
    assert set(files_below(tmp_path / "aside")) == {"mine.txt", "config.json"}
    assert not ready.exists()
