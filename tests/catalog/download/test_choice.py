import pytest

from catalog.download.choice import choose, tokenizer_of, weights_of, without_copies
from catalog.spec import Source

LLAMA = [
    ".gitattributes",
    "LICENSE",
    "README.md",
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/consolidated.00.pth",
    "original/params.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
]
DUPLICATES = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
    "flax_model.msgpack.index.json",
    "model.pt",
    "onnx/model.onnx",
    "onnx/config.json",
    "openvino/openvino_model.xml",
    "model.Q4_K_M.gguf",
    "consolidated.safetensors",
    "consolidated.safetensors.index.json",
    "runs/events.out",
    "example.png",
]


def chosen(paths: list[str], *, with_code: bool = False, **source: object) -> list[str]:
    return sorted(choose(paths, Source(repo="o/m", **source), with_code=with_code).values())  # type: ignore[arg-type]


def test_safetensors_are_wanted_with_what_belongs_to_them_and_no_copies_in_other_formats() -> None:
    wanted = [path for path in LLAMA if path not in {".gitattributes", "README.md"} and "/" not in path]
    assert chosen(LLAMA + DUPLICATES) == wanted


def test_pickles_are_wanted_where_there_are_no_safetensors() -> None:
    paths = ["config.json", "pytorch_model.bin", "training_args.bin", "optimizer.bin", "model.h5", "vocab.json"]
    assert chosen(paths) == ["config.json", "pytorch_model.bin", "vocab.json"]
    index = "pytorch_model.bin.index.json"
    assert chosen([*paths, index]) == ["config.json", "pytorch_model.bin", index, "vocab.json"]


def test_mistrals_own_layout_is_wanted_where_it_is_the_only_one() -> None:
    paths = ["consolidated.safetensors", "params.json", "tekken.json"]
    assert chosen(paths) == paths


def test_below_a_folder_only_its_files_are_wanted_and_lie_at_the_top() -> None:
    paths = ["config.json", "result/config.json", "result/pytorch_model.bin", "result/deep/model.bin", "results/x.json"]
    assert choose(paths, Source(repo="o/m", path="result")) == {
        "result/config.json": "config.json",
        "result/pytorch_model.bin": "pytorch_model.bin",
    }
    assert chosen(paths, path="result/") == ["config.json", "pytorch_model.bin"]


def test_of_gguf_files_exactly_the_one_is_wanted() -> None:
    paths = ["config.json", "q/m.Q4.gguf", "q/m.Q8.gguf"]
    assert choose(paths, Source(repo="o/m", path="q/m.Q4.gguf")) == {"q/m.Q4.gguf": "m.Q4.gguf"}


def test_patterns_override_the_choice() -> None:
    paths = [*LLAMA, "extra/x.bin"]
    assert chosen(paths, files=("config.json", "extra/*")) == ["config.json", "extra/x.bin"]


def test_tokenizers_chat_templates_and_the_modules_of_sentence_transformers_are_wanted() -> None:
    wanted = [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "additional_chat_templates/tool.jinja",
        "chat_template.jinja",
        "merges.txt",
        "model.safetensors",
        "modules.json",
        "preprocessor_config.json",
        "qwen.tiktoken",
        "tokenizer.model",
        "tokenizer.model.v3",
    ]
    assert chosen([*wanted, "eval/results.json", "checkpoint-5/model.safetensors"]) == wanted


def test_code_is_wanted_only_for_a_model_that_is_trusted_with_it() -> None:
    paths = ["config.json", "model.safetensors", "modeling_x.py"]
    assert "modeling_x.py" not in chosen(paths)
    assert "modeling_x.py" in chosen(paths, with_code=True)


def test_a_repository_without_weights_gives_none() -> None:
    assert weights_of(chosen(["config.json", "model.onnx"])) == []


def test_the_tokenizer_is_told_from_the_rest() -> None:
    paths = ["config.json", "tokenizer_config.json", "tokenizer.model", "x/tokenizer.json", "special_tokens_map.json"]
    assert tokenizer_of(paths) == ["tokenizer_config.json", "tokenizer.model", "special_tokens_map.json"]


@pytest.mark.parametrize(
    ("indexed", "kept"),
    [({"a.safetensors"}, ["a.safetensors", "1_X/c.safetensors", "x.json"]), (set(), None), ({"z.safetensors"}, None)],
)
def test_of_several_copies_those_of_the_index_are_kept(indexed: set[str], kept: list[str] | None) -> None:
    names = ["a.safetensors", "b.safetensors", "1_X/c.safetensors", "x.json"]
    assert without_copies(names, indexed) == (kept or names)
