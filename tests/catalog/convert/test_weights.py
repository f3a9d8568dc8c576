import json
from pathlib import Path
from typing import Any

import pytest

from catalog.convert.weights import WeightsUnusable, files_of

ROWS = [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]]


def index(folder: Path, name: str, *files: str) -> None:
    (folder / name).write_text(json.dumps({"weight_map": {f"w{number}": file for number, file in enumerate(files)}}))


def test_safetensors_are_taken_before_pickles(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "model.safetensors", "training_args.bin"):
        (tmp_path / name).touch()
    assert files_of(tmp_path) == [tmp_path / "model.safetensors"]


def test_of_pickles_only_those_that_hold_weights_are_opened(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.bin"):
        (tmp_path / name).touch()
    assert files_of(tmp_path) == [tmp_path / "pytorch_model.bin"]


def test_the_index_says_which_files_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    index(tmp_path, "pytorch_model.bin.index.json", "pytorch_model-1.bin", "pytorch_model-2.bin", "pytorch_model-1.bin")
    (tmp_path / "pytorch_model-1.bin").touch()
    with pytest.raises(WeightsUnusable, match=r"is incomplete: pytorch_model-2\.bin of pytorch_model\.bin\.index"):
        files_of(tmp_path)
    (tmp_path / "pytorch_model-2.bin").touch()
    assert [path.name for path in files_of(tmp_path)] == ["pytorch_model-1.bin", "pytorch_model-2.bin"]


def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    index(tmp_path, "model.safetensors.index.json", "../../model.safetensors")
    with pytest.raises(WeightsUnusable, match="names a file outside its folder"):
        files_of(tmp_path)


@pytest.mark.vllm
@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_tensors_of_a_pickle_come_out_as_they_were_also_those_that_share_memory(
    in_vllm: dict[str, Any], kind: str
) -> None:
    found = in_vllm["weights"][kind]
    assert found["a"] == found["b"] == ["torch.float16", ROWS]
    assert found["rows"] == ["torch.float16", ROWS[1:]]
    assert found["columns"] == ["torch.float16", [list(column) for column in zip(*ROWS, strict=True)]]
    assert found["half"] == ["torch.bfloat16", ROWS], "16 bits stay what they were"
    assert found["n"] == ["torch.int64", 3]


@pytest.mark.vllm
def test_a_number_too_large_for_16_bits_is_refused_with_the_remedy(in_vllm: dict[str, Any]) -> None:
    found = in_vllm["weights"]
    assert found["large"] == "w holds 1e+06, too large for float16: convert with --dtype bfloat16"
    assert found["infinite"]["w"][1] == [float("inf"), 1.0], "what was infinite before is not our doing"


@pytest.mark.vllm
def test_code_in_a_pickle_is_refused_and_not_run(in_vllm: dict[str, Any]) -> None:
    found = in_vllm["weights"]
    said = "trap.bin is no pickle of plain tensors (it asks for posix.mkdir): nothing in it was run"
    assert (found["trap"], found["sprung"]) == (said, False)
    assert found["list"] == "list.bin: w is a list and no tensor"
    assert found["cut"].startswith("cut.bin cannot be read as PyTorch's weights")


@pytest.mark.vllm
def test_one_shard_is_in_memory_at_a_time(in_vllm: dict[str, Any]) -> None:
    """256 MiB of float32 go through shards of 32 MiB; what is mapped from the file is not counted."""
    streamed = in_vllm["weights"]["streamed"]
    assert streamed["total"] == 15 * 8 * 2**20
    assert streamed["peak"] < 96 * 2**20
    assert streamed["shards"] == [f"model-{number:05}-of-00004.safetensors" for number in range(1, 5)]
    assert streamed["values"] == {f"w{number:02}": float(number) for number in range(16) if number != 7}
