"""The conversion of a good file is what `make setup` does; here is what it left, and what a bad file gets."""

import json
import subprocess
from pathlib import Path

import pytest

from catalog.load import load
from tests.installation import CHECKOUT

PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"
pytestmark = pytest.mark.vllm


def convert(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(PYTHON), "-m", "catalog.convert", str(source), str(target)]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)


def test_the_converted_demo_model_is_one_that_vllm_loads() -> None:
    spec = load(CHECKOUT / "catalog" / "demo", CHECKOUT).models["demo-chat"]
    folder = Path(spec.weights)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    assert config["max_position_embeddings"] >= spec.max_model_len
    assert (folder / "model.safetensors").stat().st_size > 200e6
    assert (folder / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no weights at all", "bad.gguf does not start with the GGUF magic bytes"), (b"GGUF\3\0\0\0\1", "error")],
    ids=["no GGUF", "ends too early"],
)
def test_a_file_that_is_no_gguf_fails_says_why_and_leaves_no_folder(tmp_path: Path, content: bytes, says: str) -> None:
    source = tmp_path / "bad.gguf"
    source.write_bytes(content)
    done = convert(source, tmp_path / "target")
    assert done.returncode != 0
    assert says in done.stderr.splitlines()[-1], done.stderr
    assert not (tmp_path / "target").exists()
