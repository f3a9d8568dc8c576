import struct
from pathlib import Path
from typing import Any

import pytest

from catalog.convert.gguf import GgufUnusable, architecture_of


def gguf(path: Path, *pairs: tuple[bytes, bytes]) -> Path:
    """A GGUF header, version 3, with string values."""
    texts = b"".join(
        struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value for key, value in pairs
    )
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + texts)
    return path


def test_the_architecture_is_read_from_the_header(tmp_path: Path) -> None:
    path = gguf(tmp_path / "a.gguf", (b"general.name", b"x"), (b"general.architecture", b"qwen2"))
    assert architecture_of(path) == "qwen2"


def test_what_is_no_gguf_or_ends_before_its_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(GgufUnusable, match="does not start with the GGUF magic bytes"):
        architecture_of(path)
    with pytest.raises(GgufUnusable, match="names no architecture"):
        architecture_of(gguf(path, (b"general.name", b"x")))
    path.write_bytes(gguf(path, (b"general.architecture", b"llama")).read_bytes()[:52])
    with pytest.raises(GgufUnusable, match="names no architecture"):
        architecture_of(path)


@pytest.mark.vllm
def test_an_architecture_that_transformers_cannot_read_is_named_with_the_plugin_as_the_other_way(
    in_vllm: dict[str, Any],
) -> None:
    said = in_vllm["refusals"]["gguf"]
    assert said.startswith("Transformers cannot read GGUF files of architecture 'rwkv99' (it reads bloom, ")
    assert said.endswith("serve the file itself with vLLM's plugin (vllm-gguf-plugin), as the model's 'weights'")
