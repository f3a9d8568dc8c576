import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.download.fetch import FetchError
from catalog.download.snapshot import FILES_FILE, Seen, keep_small_files, look
from catalog.estimate.tensors import TENSORS_FILE
from catalog.spec import ModelSpec, Source
from tests.catalog.download.hub_stage import SHARD, WANTED, client, files_below, model, repository, safetensors
from tests.fake_hub import FakeHub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    old = tmp_path / "hub" / "old"
    (old / "result").mkdir(parents=True)
    (old / "result" / "config.json").write_text("{}")
    (old / "result" / "pytorch_model.bin").write_bytes(b"x" * 500)
    (old / "result" / "tokenizer_config.json").write_text("old")
    tokenizer = tmp_path / "hub" / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.model").write_bytes(b"pieces")
    (tokenizer / "tokenizer_config.json").write_text("new")
    (tokenizer / "model.safetensors").write_bytes(b"weights that nobody asked for")
    folders = {"o/m": repository(tmp_path / "hub" / "m"), "o/old": old, "o/t": tokenizer}
    with FakeHub(folders) as one:
        yield one


def seen_of(hub: FakeHub, spec: ModelSpec) -> Seen:
    assert spec.source is not None
    return look(spec, spec.source, client(hub.url))


def kept(hub: FakeHub, spec: ModelSpec, folder: Path) -> dict[str, Any]:
    keep_small_files(seen_of(hub, spec), client(hub.url), folder)
    small = {name: content.decode() for name, content in files_below(folder).items()}
    return {**small, TENSORS_FILE: json.loads(small[TENSORS_FILE]), FILES_FILE: json.loads(small[FILES_FILE])}


def test_a_snapshot_has_the_wanted_files_with_sizes_hashes_and_the_commit(hub: FakeHub, tmp_path: Path) -> None:
    snapshot = seen_of(hub, model(tmp_path)).snapshot
    assert {wanted.record.path for wanted in snapshot.files} == WANTED
    assert snapshot.commit == hub.commit("o/m")
    sizes = {name: (hub.repositories["o/m"] / name).stat().st_size for name in WANTED}
    assert snapshot.total_bytes == sum(sizes.values())
    assert snapshot.weights_bytes == sum(sizes[SHARD.format(number)] for number in (1, 2, 3))
    assert not snapshot.is_pickled


def test_the_tensors_are_known_without_the_weights(hub: FakeHub, tmp_path: Path) -> None:
    shards = [hub.repositories["o/m"] / SHARD.format(number) for number in (1, 2, 3)]
    for number, shard in enumerate(shards, 1):
        safetensors(shard, 10**6, f"w{number}")
    small = kept(hub, model(tmp_path), tmp_path / "small")
    assert small[TENSORS_FILE] == {"tensors": {f"w{number}": ["F16", [500_000]] for number in (1, 2, 3)}}
    assert json.loads(small["config.json"]) == {"architectures": ["LlamaForCausalLM"]}
    assert set(small) == {"config.json", "model.safetensors.index.json", TENSORS_FILE, FILES_FILE}
    assert small[FILES_FILE]["commit"] == hub.commit("o/m")
    assert hub.sent_bytes("o/m/*.safetensors") == 3 * 100_000


def test_a_header_longer_than_the_first_look_is_read_to_its_end(hub: FakeHub, tmp_path: Path) -> None:
    safetensors(hub.repositories["o/m"] / SHARD.format(1), 10, "w1", padding=250_000)
    small = kept(hub, model(tmp_path), tmp_path / "small")
    assert set(small[TENSORS_FILE]["tensors"]) == {"w1", "w2", "w3"}


@pytest.mark.parametrize("content", [b"no", b"\xff" * 100, (50).to_bytes(8, "little") + b"{" * 92])
def test_what_is_no_safetensors_file_is_named(hub: FakeHub, tmp_path: Path, content: bytes) -> None:
    (hub.repositories["o/m"] / SHARD.format(2)).write_bytes(content)
    with pytest.raises(FetchError, match=r"o/m/model-00002-of-00003\.safetensors is no safetensors file: "):
        kept(hub, model(tmp_path), tmp_path / "small")


def test_of_pickles_only_the_size_is_known(hub: FakeHub, tmp_path: Path) -> None:
    spec = model(tmp_path, source=Source(repo="o/old", path="result"))
    assert seen_of(hub, spec).snapshot.is_pickled
    small = kept(hub, spec, tmp_path / "small")
    assert small[TENSORS_FILE] == {"total_bytes": 500}
    assert small["tokenizer_config.json"] == "old"


def test_another_repositorys_tokenizer_takes_the_place_of_the_weights_own(hub: FakeHub, tmp_path: Path) -> None:
    spec = model(tmp_path, source=Source(repo="o/old", path="result", tokenizer_repo="o/t"))
    snapshot = seen_of(hub, spec).snapshot
    assert {(wanted.origin, wanted.path, wanted.record.path) for wanted in snapshot.files} == {
        (0, "result/config.json", "config.json"),
        (0, "result/pytorch_model.bin", "pytorch_model.bin"),
        (1, "tokenizer.model", "tokenizer.model"),
        (1, "tokenizer_config.json", "tokenizer_config.json"),
    }
    assert (snapshot.tokenizer, snapshot.tokenizer_commit) == ("o/t", hub.commit("o/t"))
    assert kept(hub, spec, tmp_path / "small")["tokenizer_config.json"] == "new"


def test_the_small_files_of_another_snapshot_do_not_stay(hub: FakeHub, tmp_path: Path) -> None:
    kept(hub, model(tmp_path), tmp_path / "small")
    small = kept(hub, model(tmp_path, source=Source(repo="o/old", path="result")), tmp_path / "small")
    assert set(small) == {"config.json", "tokenizer_config.json", TENSORS_FILE, FILES_FILE}


def test_shards_that_the_index_does_not_name_are_copies(hub: FakeHub, tmp_path: Path) -> None:
    safetensors(hub.repositories["o/m"] / "model.safetensors", 100)
    assert {wanted.record.path for wanted in seen_of(hub, model(tmp_path)).snapshot.files} == WANTED
    (hub.repositories["o/m"] / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(FetchError, match=r"^o/m/model\.safetensors\.index\.json is no index"):
        seen_of(hub, model(tmp_path))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            Source(repo="o/m", path="resul"),
            r"^m: o/m below resul holds no weights .*; it has: README\.md, config\.json",
        ),
        (Source(repo="o/t"), r"^m: o/t is no model that vLLM loads: it has no config\.json$"),
        (Source(repo="o/m", path="x.gguf"), r"^m: o/m below x\.gguf holds no weights"),
        (Source(repo="o/m", tokenizer_repo="o/old"), r"^m: o/old holds no tokenizer: check source\.tokenizer_repo$"),
    ],
)
def test_a_repository_without_a_model_is_refused(hub: FakeHub, tmp_path: Path, source: Source, says: str) -> None:
    with pytest.raises(FetchError, match=says):
        seen_of(hub, model(tmp_path, source=source))
