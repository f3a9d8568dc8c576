import json
from pathlib import Path

import pytest

from catalog.estimate.tensors import CheckpointError, Tensor, read_json, read_tensors, safetensors_header, tensors_text

TENSORS = {"a.weight": Tensor("BF16", (4, 8)), "a.scales": Tensor("F8_E4M3", (3,)), "one": Tensor("F32", ())}


def write_safetensors(path: Path, tensors: dict[str, Tensor], **more: object) -> Path:
    """The header alone: nothing here reads further."""
    header = {name: {"dtype": one.dtype, "shape": list(one.shape)} for name, one in tensors.items()} | more
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


def test_a_header_tells_names_dtypes_and_shapes(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", TENSORS, __metadata__={"format": "pt"})
    assert safetensors_header(path) == TENSORS


def test_sizes_are_those_of_the_dtype_and_of_whole_blocks() -> None:
    assert [one.bytes for one in TENSORS.values()] == [64, 3, 4]
    assert Tensor("Q4_K", (2, 256)).bytes == 288
    assert Tensor("F4", (3,)).bytes == 2


def test_a_file_that_is_cut_off_or_no_safetensors_is_named(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", TENSORS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is no safetensors file, or not all of one"):
        safetensors_header(path)
    path.write_bytes(b"<html>moved permanently</html>")
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        safetensors_header(path)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        safetensors_header(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("entry", [{"dtype": "BF16"}, {"shape": [1]}, 7, {"dtype": "BF16", "shape": 3}])
def test_a_header_that_is_not_one_is_named(tmp_path: Path, entry: object) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", {}, odd=entry)
    with pytest.raises(CheckpointError, match="its safetensors header is not one"):
        safetensors_header(path)


def test_a_dtype_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", {"w": Tensor("F3", (1,))})
    with pytest.raises(CheckpointError, match="w has the dtype F3, which is not known here"):
        safetensors_header(path)


def test_what_is_kept_is_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "tensors.json"
    path.write_text(tensors_text(TENSORS))
    assert json.loads(path.read_text())["tensors"]["a.weight"] == ["BF16", [4, 8]]
    assert read_tensors(path) == (TENSORS, None)
    path.write_text(tensors_text(None, 10_700_000_000))
    assert json.loads(path.read_text()) == {"total_bytes": 10_700_000_000}
    assert read_tensors(path) == (None, 10_700_000_000)


@pytest.mark.parametrize("text", ["{}", '{"tensors": {"a": ["BF16"]}}', '{"tensors": []}', '{"total_bytes": "many"}'])
def test_a_tensors_json_of_another_form_says_which_form_is_right(tmp_path: Path, text: str) -> None:
    (tmp_path / "tensors.json").write_text(text)
    with pytest.raises(CheckpointError, match=r'tensors\.json: must be \{"tensors"'):
        read_tensors(tmp_path / "tensors.json")


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    for text, what in (("{", "is not JSON"), ("[1]", "must be a JSON object")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=what):
            read_json(tmp_path / "config.json")
