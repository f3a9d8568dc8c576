import json
from pathlib import Path

import msgspec
import pytest

from catalog.estimate.checkpoint import SHIPPED_CONFIGS, SMALL_FILES, Checkpoint, NothingKnown, read_checkpoint
from catalog.estimate.tensors import CheckpointError, Tensor, tensors_text
from catalog.spec import Gib, ModelSpec, Source
from tests.catalog.estimate.test_gguf import FACTS, TENSORS, write_gguf
from tests.catalog.estimate.test_tensors import write_safetensors

CATALOG = Path("catalog/own")
W, V = Tensor("F16", (2, 3)), Tensor("F32", (5,))


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    weights = str(tmp_path / "var/models/m")
    return ModelSpec(name="m", weights=weights, port=8101, memory_bytes=Gib(1), max_model_len=9)


def put(path: Path, told: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return path


def test_the_weights_themselves_come_before_all_else(tmp_path: Path, spec: ModelSpec) -> None:
    shipped = put(tmp_path / CATALOG / SHIPPED_CONFIGS / "m.json", {"from": "catalog"})
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert told == Checkpoint({"from": "catalog"}, None, None, "from the config.json that the catalog carries")
    small = put(tmp_path / SMALL_FILES / "m/config.json", {"from": "small"}).parent
    assert read_checkpoint(spec, tmp_path, tmp_path / CATALOG).config == {"from": "small"}
    (small / "tensors.json").write_text(tensors_text({"w": W}))
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert told == Checkpoint({"from": "small"}, {"w": W}, 12, "from the repository's small files")
    put(Path(spec.weights) / "config.json", {"from": "weights"})
    write_safetensors(Path(spec.weights) / "model.safetensors", {"w": W, "v": V})
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert told == Checkpoint({"from": "weights"}, {"w": W, "v": V}, 32, "from the files in var/models/m")
    assert shipped.exists()


def test_only_files_of_the_index_count_where_there_is_one(tmp_path: Path, spec: ModelSpec) -> None:
    folder = put(Path(spec.weights) / "config.json", {}).parent
    put(folder / "model.safetensors.index.json", {"weight_map": {"w": "model-1.safetensors"}})
    write_safetensors(folder / "model-1.safetensors", {"w": W})
    write_safetensors(folder / "consolidated.safetensors", {"w": W, "v": V})
    assert read_checkpoint(spec, tmp_path, tmp_path / CATALOG).tensors == {"w": W}
    put(folder / "model.safetensors.index.json", {"weight_map": 3})
    with pytest.raises(CheckpointError, match=r"index\.json: must have a weight_map"):
        read_checkpoint(spec, tmp_path, tmp_path / CATALOG)


def test_of_pickles_only_the_size_is_known(tmp_path: Path, spec: ModelSpec) -> None:
    folder = put(Path(spec.weights) / "config.json", {}).parent
    (folder / "pytorch_model.bin").write_bytes(b"x" * 77)
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert (told.tensors, told.total_bytes) == (None, 77)
    small = put(tmp_path / SMALL_FILES / "m/config.json", {}).parent
    (small / "tensors.json").write_text(tensors_text(None, 99))
    (folder / "config.json").unlink()
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert (told.tensors, told.total_bytes) == (None, 99)


def test_a_gguf_file_tells_by_its_header(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", FACTS, TENSORS)
    spec = ModelSpec(name="m", weights=str(path), port=8101, memory_bytes=Gib(1), max_model_len=9)
    told = read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert told.config["hidden_size"] == 256
    assert told.total_bytes == 1200 * 256 // 32 * 34 + 256 * 144
    assert told.origin == "from the header of m.gguf"


def test_where_nothing_is_known_it_says_where_it_looked(tmp_path: Path, spec: ModelSpec) -> None:
    what = "looked for var/models/m, var/state/checkpoints/m, catalog/own/configs/m.json): put its weights there"
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(spec, tmp_path, tmp_path / CATALOG)
    assert what in str(caught.value)
    from_hub = msgspec.structs.replace(spec, source=Source(repo="o/m"))
    with pytest.raises(NothingKnown, match=r"\): download m$"):
        read_checkpoint(from_hub, tmp_path, tmp_path / CATALOG)


@pytest.mark.parametrize(
    ("source", "is_of_it"),
    [
        (Source(repo="o/m", path="x"), True),
        (Source(repo="o/m", path="x", revision="a" * 40), True),
        (Source(repo="o/other", path="x"), False),
        (Source(repo="o/m"), False),
        (Source(repo="o/m", path="x", revision="v2"), False),
        (None, False),
    ],
)
def test_small_files_of_another_source_are_not_looked_at(
    tmp_path: Path, spec: ModelSpec, source: Source | None, is_of_it: bool
) -> None:
    small = put(tmp_path / SMALL_FILES / "m/config.json", {"from": "small"}).parent
    put(small / "files.json", {"repo": "o/m", "revision": "main", "commit": "a" * 40, "path": "x"})
    put(tmp_path / CATALOG / SHIPPED_CONFIGS / "m.json", {"from": "catalog"})
    told = read_checkpoint(msgspec.structs.replace(spec, source=source), tmp_path, tmp_path / CATALOG)
    assert told.config == {"from": "small" if is_of_it else "catalog"}


def test_a_shipped_config_is_of_its_own_catalog_and_of_the_repository_that_it_names(
    tmp_path: Path, spec: ModelSpec
) -> None:
    named = msgspec.structs.replace(spec, source=Source(repo="o/m"))
    put(tmp_path / CATALOG / SHIPPED_CONFIGS / "m.json", {"_repository": "o/m", "from": "catalog"})
    assert read_checkpoint(named, tmp_path, tmp_path / CATALOG).config == {"from": "catalog"}
    with pytest.raises(NothingKnown):
        read_checkpoint(named, tmp_path, tmp_path / "another")
    for source in (Source(repo="o/other"), None):
        with pytest.raises(NothingKnown):
            read_checkpoint(msgspec.structs.replace(spec, source=source), tmp_path, tmp_path / CATALOG)
