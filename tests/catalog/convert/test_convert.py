"""What needs conversion is decided here without PyTorch; the conversions themselves run in vLLM's environment."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catalog.convert.convert import ConversionError, convert, needs_conversion
from catalog.load import load
from tests.checkpoints import PYTHON, Five
from tests.installation import CHECKOUT


def run(source: Path, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [str(PYTHON), "-m", "catalog.convert", str(source), str(target), *more]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)


def checkpoint(folder: Path, *files: str, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in files:
        (folder / name).touch()
    return folder


def test_what_vllm_loads_needs_no_conversion(tmp_path: Path) -> None:
    plain = checkpoint(tmp_path / "a", "model.safetensors", "tokenizer.json", model_type="qwen2")
    both = checkpoint(tmp_path / "b", "model.safetensors", "pytorch_model.bin", model_type="bert")
    gpt2 = checkpoint(tmp_path / "c", "model.safetensors", model_type="gpt2", scale_attn_by_inverse_layer_idx=False)
    assert [needs_conversion(folder) for folder in (plain, both, gpt2)] == [None, None, None]


def test_every_reason_for_a_conversion_is_told(tmp_path: Path) -> None:
    biomedlm = checkpoint(tmp_path / "a", "pytorch_model.bin", model_type="gpt2", scale_attn_by_inverse_layer_idx=True)
    said = needs_conversion(biomedlm)
    assert said == (
        "it divides attention by the number of the layer, which vLLM's GPT-2 refuses; its weights are pickles (.bin)"
    )
    assert needs_conversion(tmp_path / "model.gguf") == "it is a GGUF file"


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"holds no model: it has no config\.json"):
        needs_conversion(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConversionError, match=r"config\.json is no JSON"):
        needs_conversion(tmp_path)


def test_what_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a", "pytorch_model.bin", model_type="bert")
    with pytest.raises(ConversionError, match="is there already: move it away first"):
        convert(source, tmp_path)


def test_a_checkpoint_without_weights_leaves_nothing_behind(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a", "tokenizer.json", model_type="bert")
    with pytest.raises(ConversionError, match="holds no weights"):
        convert(source, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_decision_needs_no_pytorch_and_takes_no_time_to_import() -> None:
    code = (
        "import sys, catalog.convert.convert; assert not {'torch', 'transformers', 'safetensors'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)


@pytest.mark.vllm
def test_of_the_five_the_pickles_are_converted_and_the_others_taken_as_they_are(five: Five) -> None:
    folders = [folder / "result" if (folder / "result").is_dir() else folder for folder in five.repositories.values()]
    models = [folder for folder in folders if (folder / "config.json").is_file()]
    assert len(models) == 5
    why = {str(folder.relative_to(folder.parents[1])): needs_conversion(folder) for folder in models}
    assert {name for name, reason in why.items() if reason is not None} == {
        "ChatDoctor/result",
        "stanford-crfm/BioMedLM",
    }


@pytest.mark.vllm
def test_a_conversion_keeps_the_configuration_and_notes_what_was_done(five: Five, tmp_path: Path) -> None:
    source = five.repositories["stanford-crfm/BioMedLM"]
    done = run(source, tmp_path / "new")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (source, tmp_path / "new"))
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed == {"scale_attn_by_inverse_layer_idx", "torch_dtype"}
    note = json.loads((tmp_path / "new" / "rota-conversion.json").read_text())
    assert note["done"] == [line.removeprefix("  ") for line in done.stdout.splitlines()]
    assert note["from"]["files"] == {"pytorch_model.bin": (source / "pytorch_model.bin").stat().st_size}
    assert note["versions"]["torch"].startswith("2.")
    assert needs_conversion(tmp_path / "new") is None
    assert (tmp_path / "new" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


@pytest.mark.vllm
def test_refusals_name_what_was_wrong_and_leave_nothing(in_vllm: dict[str, Any]) -> None:
    refused = in_vllm["refusals"]
    assert "holds no tokenizer" in refused["no tokenizer"]
    assert "is there already" in refused["there"]
    assert refused["outside"] == "pytorch_model.bin.index.json names a file outside its folder: ../elsewhere.bin"
    assert refused["left"] == "", "neither a target nor what a killed conversion had left"


@pytest.mark.vllm
def test_the_converted_demo_model_is_one_that_vllm_loads() -> None:
    spec = load(CHECKOUT / "catalog" / "demo", CHECKOUT).models["demo-chat"]
    folder = Path(spec.weights)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    assert config["max_position_embeddings"] >= spec.max_model_len
    assert (folder / "model.safetensors").stat().st_size > 200e6
    assert (folder / "tokenizer.json").is_file()


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no weights at all", "bad.gguf does not start with the GGUF magic bytes"),
        (b"GGUF\3\0\0\0\1", "ends too early"),
    ],
    ids=["no GGUF", "ends too early"],
)
def test_a_file_that_is_no_gguf_fails_says_why_and_leaves_no_folder(tmp_path: Path, content: bytes, says: str) -> None:
    source = tmp_path / "bad.gguf"
    source.write_bytes(content)
    done = run(source, tmp_path / "target")
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]
