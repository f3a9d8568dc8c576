import struct
from pathlib import Path

import pytest

from catalog.estimate.gguf import read_gguf
from catalog.estimate.tensors import CheckpointError, Tensor

FACTS: dict[str, object] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 256,
    "llama.feed_forward_length": 512,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": [2, 2],
    "llama.context_length": 4096,
    "general.is_good": True,
    "tokenizer.ggml.tokens": ["<s>", "</s>"] * 600,
    "tokenizer.ggml.scores": [0.5] * 1200,
}
TENSORS = {"token_embd.weight": ((1200, 256), 8), "blk.0.attn_q.weight": ((256, 256), 12)}


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _value(value: object) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_text(str(one)) for one in value)
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)
        case [float(), *_]:
            return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)
    raise TypeError(value)


def write_gguf(path: Path, facts: dict[str, object], tensors: dict[str, tuple[tuple[int, ...], int]]) -> Path:
    text = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    text += b"".join(_text(name) + _value(value) for name, value in facts.items())
    for name, (shape, kind) in tensors.items():
        text += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, 0)
    path.write_bytes(text)
    return path


def test_the_dimensions_have_the_names_of_a_config_json(tmp_path: Path) -> None:
    config, tensors = read_gguf(write_gguf(tmp_path / "m.gguf", FACTS, TENSORS))
    assert config == {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "vocab_size": 1200,
        "tie_word_embeddings": True,
        "quantization_config": {"quant_method": "gguf"},
    }
    assert tensors == {
        "token_embd.weight": Tensor("Q8_0", (1200, 256)),
        "blk.0.attn_q.weight": Tensor("Q4_K", (256, 256)),
    }


def test_a_file_cut_off_anywhere_in_its_header_is_named(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", FACTS, TENSORS)
    whole = path.read_bytes()
    for length in (0, 3, 7, 20, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"m\.gguf: is no GGUF file"):
            read_gguf(path)


def test_another_version_or_an_unknown_dtype_is_named(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", FACTS, {"w": ((32,), 99)})
    with pytest.raises(CheckpointError, match="w has ggml's dtype 99"):
        read_gguf(path)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(CheckpointError, match="is of GGUF version 1"):
        read_gguf(path)


def test_a_file_that_names_no_architecture_or_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"general\.architecture"):
        read_gguf(write_gguf(tmp_path / "m.gguf", {}, {}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_gguf(tmp_path / "absent.gguf")


def test_an_architecture_has_the_name_that_a_config_json_gives_it(tmp_path: Path) -> None:
    config, _ = read_gguf(write_gguf(tmp_path / "m.gguf", {"general.architecture": "gemma3"}, {}))
    assert config["model_type"] == "gemma3_text"
