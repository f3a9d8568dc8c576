"""Downloads of whole repositories from the fake hub, with the real client. The converter is replaced."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog.download import finishing, staging as module
from catalog.download.fetch import FetchError
from catalog.download.hub_errors import HubError
from catalog.download.manifest import MANIFEST_FILE, read_manifest
from catalog.download.room import Room
from catalog.download.snapshot import look
from catalog.download.staging import Staging
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import (
    SHARD,
    WANTED,
    client,
    faults_of,
    files_below,
    model,
    repository,
    safetensors,
)
from tests.fake_hub import FakeHub
from tests.installation import CHECKOUT

MIB = 2**20
BRING = """
import sys
from pathlib import Path
from catalog.download.download import Downloads
from catalog.download.stop import Stop
from catalog.download.hub import Hub
from catalog.download.progress import Progress
from tests.catalog.download.hub_stage import model
root, url = Path(sys.argv[1]), sys.argv[2]
[outcome] = Downloads(root, Hub(url), Progress(), Stop()).run([model(root)])
sys.exit(0 if outcome.came == "ready" else 1)
"""


class Watcher:
    """Counts what is told to it."""

    def __init__(self) -> None:
        self.count = 0
        self.done: list[str] = []

    def moved(self, count: int) -> None:
        self.count += count

    def doing(self, what: str) -> None:
        self.done.append(what)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub({"o/m": repository(tmp_path / "hub" / "m")}) as one:
        yield one


def bring(hub: FakeHub, spec: ModelSpec, root: Path, watch: Watcher | None = None) -> Staging:
    assert spec.source is not None
    origin = client(hub.url)
    staging = Staging(spec, look(spec, spec.source, origin), origin)
    staging.target.parent.mkdir(parents=True, exist_ok=True)
    staging.bring(root, watch or Watcher(), 0)
    return staging


def at_hub(hub: FakeHub, names: set[str], repo: str = "o/m") -> dict[str, bytes]:
    return {name: (hub.repositories[repo] / name).read_bytes() for name in names}


def test_a_model_is_what_the_repository_has_with_a_manifest_and_nothing_else_stays(
    hub: FakeHub, tmp_path: Path
) -> None:
    watch = Watcher()
    staging = bring(hub, model(tmp_path), tmp_path, watch)
    lies = files_below(staging.target)
    manifest = json.loads(lies.pop(MANIFEST_FILE))
    assert lies == at_hub(hub, WANTED)
    assert (manifest["source"], manifest["revision"], manifest["commit"]) == ("o/m", "main", hub.commit("o/m"))
    assert {file["path"] for file in manifest["files"]} == WANTED
    assert all(file["hash"].startswith(("sha256:", "git-sha1:")) for file in manifest["files"])
    assert watch.count == staging.snapshot.total_bytes == hub.sent_bytes() - len(lies["model.safetensors.index.json"])
    assert [path.name for path in staging.target.parent.iterdir()] == ["m"]


def test_what_the_manifest_says_can_be_checked_later(hub: FakeHub, tmp_path: Path) -> None:
    target = bring(hub, model(tmp_path), tmp_path).target
    assert faults_of(target) == []
    shard = target / SHARD.format(2)
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    (target / "config.json").unlink()
    assert [fault.split(" has ")[0] for fault in faults_of(target)] == ["config.json is missing", SHARD.format(2)]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_download_killed_at_any_moment_goes_on_where_it_was(
    tmp_path: Path, share: float, record_property: Callable[[str, object], None]
) -> None:
    folder = repository(tmp_path / "hub" / "m", shard_bytes=12 * MIB)
    spec = model(tmp_path)
    argv = [sys.executable, "-c", BRING, str(tmp_path)]
    with FakeHub({"o/m": folder}) as hub:
        total = sum(len(content) for content in at_hub(hub, WANTED).values())
        hub.stall_at(round(total * share))
        child = subprocess.Popen([*argv, hub.url], cwd=CHECKOUT)
        assert hub.stalled.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before = hub.sent_bytes()
        assert not Path(spec.weights).exists()
        hub.behave()
        subprocess.run([*argv, hub.url], cwd=CHECKOUT, check=True)
        sent = hub.sent_bytes()
    lies = files_below(Path(spec.weights))
    del lies[MANIFEST_FILE]
    assert lies == at_hub(hub, WANTED)
    assert faults_of(Path(spec.weights)) == []
    print(f"killed at {before / total:.0%}: sent {sent} bytes in all, {sent / total:.3f} of the size {total}")
    record_property("sent_of_size", sent / total)
    assert sent < 1.15 * total


def test_files_that_are_complete_are_not_fetched_again_and_a_part_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    first, second = f"o/m/{SHARD.format(1)}", f"o/m/{SHARD.format(2)}"
    hub.misbehave(second, cut_after=1000, times=1)
    hub.misbehave(second, status=404, error_code="EntryNotFound", times=1)
    with pytest.raises(HubError, match="has no model-00002"):
        bring(hub, model(tmp_path), tmp_path)
    hub.behave()
    size = (hub.repositories["o/m"] / SHARD.format(1)).stat().st_size
    sent_of_first = hub.sent_bytes(first)
    origin = client(hub.url)
    spec = model(tmp_path)
    assert spec.source is not None
    staging = Staging(spec, look(spec, spec.source, origin), origin)
    config_and_others = sum(len(at_hub(hub, {name})[name]) for name in ("config.json",))
    assert staging.done_bytes() == size + 1000 + config_and_others
    staging.bring(tmp_path, Watcher(), 0)
    assert hub.sent_bytes(first) == sent_of_first == size
    assert hub.sent_bytes(second) == size
    assert faults_of(staging.target) == []


def test_a_repository_that_changed_meanwhile_keeps_what_is_the_same(hub: FakeHub, tmp_path: Path) -> None:
    third = f"o/m/{SHARD.format(3)}"
    hub.misbehave(third, status=404, error_code="EntryNotFound")
    with pytest.raises(HubError):
        bring(hub, model(tmp_path), tmp_path)
    hub.behave()
    before = {number: hub.sent_bytes(f"o/m/{SHARD.format(number)}") for number in (1, 2)}
    safetensors(hub.repositories["o/m"] / SHARD.format(2), 3000, "w2", seed=77)
    target = bring(hub, model(tmp_path), tmp_path).target
    assert hub.sent_bytes(f"o/m/{SHARD.format(1)}") == before[1]
    assert hub.sent_bytes(f"o/m/{SHARD.format(2)}") == 2 * before[2]
    assert faults_of(target) == []
    assert files_below(target)[SHARD.format(2)] == at_hub(hub, {SHARD.format(2)})[SHARD.format(2)]


def test_wrong_content_is_fetched_once_more_and_then_refused(hub: FakeHub, tmp_path: Path) -> None:
    shard = f"o/m/{SHARD.format(1)}"
    hub.misbehave(shard, wrong=True, times=1)
    target = bring(hub, model(tmp_path), tmp_path).target
    assert faults_of(target) == []
    hub.misbehave(shard, wrong=True)
    with pytest.raises(HubError, match=r"o/m: model-00001.* another content .*sha256 differs.*downloaded again"):
        bring(hub, model(tmp_path, "other"), tmp_path)
    assert not (tmp_path / "models" / "other").exists()
    assert list((tmp_path / "models" / "other.download" / "parts").iterdir()) == []


def test_a_part_that_was_spoilt_is_found_out(hub: FakeHub, tmp_path: Path) -> None:
    shard = f"o/m/{SHARD.format(1)}"
    hub.misbehave(shard, cut_after=1000, times=1)
    hub.misbehave(shard, status=404, error_code="EntryNotFound", times=1)
    with pytest.raises(HubError):
        bring(hub, model(tmp_path), tmp_path)
    [part] = (tmp_path / "models" / "m.download" / "parts").iterdir()
    part.write_bytes(bytes(1000))
    watch = Watcher()
    staging = bring(hub, model(tmp_path), tmp_path, watch)
    assert faults_of(staging.target) == []
    assert watch.count < staging.snapshot.total_bytes


def test_the_disk_is_asked_first_and_what_is_missing_is_said(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, origin = model(tmp_path), client(hub.url)
    assert spec.source is not None
    staging = Staging(spec, look(spec, spec.source, origin), origin)
    monkeypatch.setattr(module, "free_bytes", lambda _: staging.snapshot.total_bytes)
    staging.check_room()
    says = r"^m needs 0\.0 MiB on the disk, and 0\.0 MiB are free at .*models: make .* free, or"
    with pytest.raises(FetchError, match=says):
        staging.check_room(promised_bytes=1)


def test_a_full_disk_is_named_and_what_is_there_stays(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FetchError, match=r"^m: No space left on device: .*stays for the next try$"):
        bring(hub, model(tmp_path), tmp_path)
    monkeypatch.undo()
    sent = hub.sent_bytes("o/m/config.json")
    bring(hub, model(tmp_path), tmp_path)
    assert hub.sent_bytes("o/m/config.json") == sent


class Converter:
    """Stands in for the converter: copies the folder, or a GGUF file, and says so."""

    def __init__(self) -> None:
        self.given: list[Path] = []
        self.fails = False

    def __call__(self, source: Path, target: Path, root: Path, *, dtype: str, lock: int) -> None:
        self.given.append(source)
        target.mkdir()
        for path in [source] if source.is_file() else list(source.iterdir()):
            if path.suffix == ".bin" or path.suffix == ".gguf":
                safetensors(target / "model.safetensors", 10)
            else:
                shutil.copy(path, target)
        if self.fails:
            raise FetchError("the converter failed")
        (target / "config.json").write_text("{}")
        (target / "tokenizer.json").write_text('{"of": "the converter"}')


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Converter:
    one = Converter()
    monkeypatch.setattr(finishing, "convert", one)
    monkeypatch.setattr(finishing.converting, "needs_conversion", needs_conversion)
    return one


def needs_conversion(folder: Path) -> str | None:
    return "its weights are pickles" if any(folder.glob("*.bin")) else None


def pickles(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle" * 100)
    return folder


def test_what_vllm_cannot_load_is_converted_and_the_raw_files_go_last(tmp_path: Path, converter: Converter) -> None:
    with FakeHub({"o/m": pickles(tmp_path / "hub")}) as hub:
        converter.fails = True
        with pytest.raises(FetchError, match="the converter failed"):
            bring(hub, model(tmp_path), tmp_path)
        assert not (tmp_path / "models" / "m").exists()
        converter.fails = False
        sent, watch = hub.sent_bytes(), Watcher()
        staging = bring(hub, model(tmp_path), tmp_path, watch)
        assert hub.sent_bytes() == sent
    manifest = read_manifest(staging.target)
    assert manifest is not None
    assert manifest.converted == "its weights are pickles"
    assert {record.path for record in manifest.origin} == {"config.json", "pytorch_model.bin"}
    assert {record.path for record in manifest.files} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert faults_of(staging.target) == []
    assert watch.done == ["converting: its weights are pickles"]
    assert not (tmp_path / "models" / "m.download").exists()


def test_a_conversion_needs_room_of_its_own(tmp_path: Path, converter: Converter) -> None:
    with FakeHub({"o/m": pickles(tmp_path / "hub")}) as hub:
        spec, origin = model(tmp_path), client(hub.url)
        assert spec.source is not None
        staging = Staging(spec, look(spec, spec.source, origin), origin)
        assert staging.room_bytes() == 2 + 600 + 600
        assert staging.room() == Room(staging.target, 600, 602)


def test_weights_that_something_is_folded_into_are_written_anew_and_need_room_too(tmp_path: Path, hub: FakeHub) -> None:
    spec, origin = model(tmp_path), client(hub.url)
    assert spec.source is not None
    plain = Staging(spec, look(spec, spec.source, origin), origin)
    assert plain.room() == Room(plain.target, plain.snapshot.total_bytes)
    folded = {"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}
    (hub.repositories["o/m"] / "config.json").write_text(json.dumps(folded))
    staging = Staging(spec, look(spec, spec.source, origin), origin)
    weights_bytes = staging.snapshot.weights_bytes
    assert staging.room_bytes() == staging.snapshot.total_bytes + weights_bytes
    assert staging.room() == Room(staging.target, weights_bytes, staging.snapshot.total_bytes)
    (hub.repositories["o/m"] / "config.json").write_text("no config")
    assert Staging(spec, look(spec, spec.source, origin), origin).converted_bytes == 0


def gguf_hub(tmp_path: Path) -> FakeHub:
    folder = tmp_path / "hub" / "g"
    folder.mkdir(parents=True)
    for kind in ("Q4", "Q8"):
        (folder / f"x.{kind}.gguf").write_bytes(kind.encode() * 100)
    (folder / "config.json").write_text("{}")
    tokenizer = tmp_path / "hub" / "t"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text('{"of": "another"}')
    (tokenizer / "config.json").write_text('{"of": "another"}')
    return FakeHub({"o/g": folder, "o/t": tokenizer})


def test_of_a_gguf_repository_the_one_file_is_converted_with_another_tokenizer_laid_over(
    tmp_path: Path, converter: Converter
) -> None:
    source = Source(repo="o/g", path="x.Q4.gguf", tokenizer_repo="o/t")
    with gguf_hub(tmp_path) as hub:
        target = bring(hub, model(tmp_path, source=source), tmp_path).target
    assert [path.name for path in converter.given] == ["x.Q4.gguf"]
    assert (target / "tokenizer.json").read_text() == '{"of": "another"}'
    assert faults_of(target) == []


def test_a_gguf_file_that_is_served_itself_gets_the_name_in_weights(tmp_path: Path, converter: Converter) -> None:
    source = Source(repo="o/g", path="x.Q4.gguf", tokenizer_repo="o/t")
    with gguf_hub(tmp_path) as hub:
        spec = model(tmp_path, source=source, weights=str(tmp_path / "models" / "g" / "served.gguf"))
        target = bring(hub, spec, tmp_path).target
    assert set(files_below(target)) == {"served.gguf", "config.json", "tokenizer.json", MANIFEST_FILE}
    assert (target / "config.json").read_text() == '{"of": "another"}'  # the plugin reads it beside the file
    assert converter.given == []
    assert faults_of(target) == []
