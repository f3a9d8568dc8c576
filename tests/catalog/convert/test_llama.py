import json
from pathlib import Path
from typing import Any

import pytest

from catalog.convert.llama import reasons

OLD = {"model_type": "llama", "architectures": ["LLaMAForCausalLM"], "bos_token_id": 0, "eos_token_id": 1}
NEW = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2}


def test_todays_llama_has_no_reason(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").touch()
    (tmp_path / "tokenizer.json").touch()
    assert reasons(tmp_path, NEW) == []
    assert reasons(tmp_path, {"model_type": "qwen2", "bos_token_id": 0, "eos_token_id": 1}) == []


def test_the_names_and_numbers_of_2023_are_reasons(tmp_path: Path) -> None:
    said = reasons(tmp_path, OLD)
    assert ["LLaMAForCausalLM" in said[0], "BOS 0, EOS 1" in said[1], len(said)] == [True, True, 2]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LLaMATokenizer"}))
    assert "LLaMATokenizer, which Transformers 5 does not load" in reasons(tmp_path, NEW)[0]


def test_a_sentencepiece_model_alone_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").touch()
    assert "reads without BOS" in reasons(tmp_path, NEW)[0]


@pytest.mark.vllm
def test_the_configuration_gets_todays_name_and_the_tokenizers_numbers(in_vllm: dict[str, Any]) -> None:
    config = in_vllm["llama"]["config"]
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert [config[f"{role}_token_id"] for role in ("bos", "eos", "pad")] == [1, 2, None]
    assert config["max_sequence_length"] == 2048, "what vLLM does not know is kept"
    assert config["vocab_size"] == 401, "as large as the weights are"


@pytest.mark.vllm
def test_text_is_split_as_sentencepiece_splits_it_with_bos(in_vllm: dict[str, Any]) -> None:
    assert in_vllm["llama"]["ids"] == in_vllm["llama"]["pieces"]
    assert in_vllm["llama"]["special"] == ["<s>", "</s>", "<unk>"]


@pytest.mark.vllm
def test_what_was_mended_needs_no_conversion_any_more(in_vllm: dict[str, Any]) -> None:
    old, new, right, mended, named, renamed = in_vllm["llama"]["needs"]
    assert "pickles" in old
    assert right == "its tokenizer is a LLaMATokenizer, which Transformers 5 does not load"
    assert "LLaMAForCausalLM of 2023" in named
    assert [new, mended, renamed] == [None, None, None]


@pytest.mark.vllm
def test_without_a_sentencepiece_model_only_names_and_numbers_are_mended(in_vllm: dict[str, Any]) -> None:
    assert in_vllm["llama"]["renamed"] == [["LlamaForCausalLM"], 1, 2]
    assert in_vllm["llama"]["renamed ids"] == in_vllm["llama"]["pieces"][0]


@pytest.mark.vllm
def test_only_what_serves_is_in_the_folder_and_everybody_may_read_it(in_vllm: dict[str, Any]) -> None:
    """The trainer's arguments are a pickle of classes: they are neither opened nor copied."""
    tokenizer = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
    assert in_vllm["llama"]["files"] == ["config.json", "model.safetensors", "rota-conversion.json", *tokenizer]
    assert in_vllm["llama"]["modes"] == ["0o644"]


@pytest.mark.vllm
def test_good_weights_beside_a_bad_tokenizer_are_not_written_again(in_vllm: dict[str, Any]) -> None:
    assert in_vllm["llama"]["same file"] is True
