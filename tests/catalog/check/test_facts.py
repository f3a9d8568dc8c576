"""What is gathered of a model in each state that its folder can be in."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.check.facts import facts_of
from catalog.download.manifest import Manifest, records_of, write_manifest
from catalog.download.place import staging_of
from catalog.spec import GIB, Gib, ModelSpec, Source
from tests.catalog.estimate.test_gguf import FACTS, TENSORS, write_gguf

HEADER = json.dumps({"t": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}).encode()
WHOLE = len(HEADER).to_bytes(8, "little") + HEADER + b"8 bytes."
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def spec_of(root: Path, **more: Any) -> ModelSpec:
    fixed = {"name": "m", "weights": str(root / "models" / "m"), "port": 8101, "max_model_len": 9}
    return ModelSpec(**{**fixed, "memory_bytes": Gib(GIB), "source": Source(repo="o/m"), **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(WHOLE)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_a_model_that_is_there_is_read_from_its_folder(tmp_path: Path, folder: Path) -> None:
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert (facts.is_there, facts.config, facts.wrong_files) == (True, CONFIG, ())
    assert facts.origin == "the files in models/m"
    assert (facts.tokenizer, facts.has_tokenizer, facts.has_fast_tokenizer) == ({"model_max_length": 77}, True, True)
    assert (facts.has_template, facts.sentence_length, facts.commit) == (False, None, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", "{{ x }}"),
        ("chat_template.json", "{}"),
        ("tokenizer_config.json", '{"chat_template": "{{ x }}"}'),
    ],
)
def test_a_template_is_found_wherever_transformers_looks(tmp_path: Path, folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c").has_template is True


def test_a_tokenizer_is_missed_unless_the_flags_name_another(tmp_path: Path, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert not facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c").has_tokenizer
    named = facts_of(spec_of(tmp_path, vllm_args={"tokenizer": "/t"}), tmp_path, tmp_path / "c")
    assert (named.has_tokenizer, named.has_template) == (True, None)
    (folder / "tokenizer.model").touch()
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert (facts.has_tokenizer, facts.has_fast_tokenizer) == (True, False)


def test_what_was_downloaded_and_how_long_sentences_may_be_is_read(tmp_path: Path, folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    files = records_of(folder)
    write_manifest(folder, Manifest(source="o/m", commit="a" * 40, downloaded_at="2026-01-01T00:00:00Z", files=files))
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c", with_hashes=True)
    assert (facts.repo, facts.commit, facts.sentence_length, facts.wrong_files) == ("o/m", "a" * 40, 128, ())


def test_what_is_not_there_is_judged_by_the_small_files_or_the_catalogs_config(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert facts_of(spec, tmp_path, tmp_path / "c").config is None
    shipped = tmp_path / "c" / "configs" / "m.json"
    shipped.parent.mkdir(parents=True)
    shipped.write_text(json.dumps({**CONFIG, "from": "catalog"}))
    facts = facts_of(spec, tmp_path, tmp_path / "c")
    assert (facts.is_there, (facts.config or {})["from"]) == (False, "catalog")
    assert facts.origin == "the config.json that the catalog carries"
    small = tmp_path / "var" / "state" / "checkpoints" / "m"
    small.mkdir(parents=True)
    (small / "config.json").write_text(json.dumps({**CONFIG, "from": "repository"}))
    assert (facts_of(spec, tmp_path, tmp_path / "c").config or {})["from"] == "repository"


def test_a_download_that_has_not_ended_is_known_by_what_lies_beside(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    parts = staging_of(Path(spec.weights)) / "parts"
    parts.mkdir(parents=True)
    (parts / "x").write_bytes(b"12345")
    facts = facts_of(spec, tmp_path, tmp_path / "c")
    assert (facts.is_there, facts.unfinished_bytes) == (False, 5)


def test_a_folder_that_holds_something_else_is_wrong(tmp_path: Path, folder: Path) -> None:
    (folder / "config.json").unlink()
    [line] = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c").wrong_files
    assert "is no model (no config.json)" in line


def test_a_config_that_cannot_be_read_is_wrong(tmp_path: Path, folder: Path) -> None:
    (folder / "config.json").write_text("{")
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert (facts.config, len(facts.wrong_files)) == (None, 1)
    assert "config.json: is not JSON" in facts.wrong_files[0]


def test_a_template_of_the_catalog_is_looked_for(tmp_path: Path, folder: Path) -> None:
    spec = spec_of(tmp_path, chat_template=str(tmp_path / "t.jinja"))
    assert not facts_of(spec, tmp_path, tmp_path / "c").is_template_there
    (tmp_path / "t.jinja").write_text("")
    assert facts_of(spec, tmp_path, tmp_path / "c").is_template_there


def test_a_model_that_lost_its_config_is_known_by_its_manifest(tmp_path: Path, folder: Path) -> None:
    write_manifest(folder, Manifest(source="o/m", downloaded_at="2026-01-01T00:00:00Z", files=records_of(folder)))
    (folder / "config.json").unlink()
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert (facts.is_there, facts.has_manifest, facts.wrong_files) == (False, True, ("config.json is missing",))


def test_a_gguf_file_that_was_downloaded_is_compared_with_its_manifest_too(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    weights = write_gguf(tmp_path / "g" / "m.gguf", FACTS, TENSORS)
    files = records_of(weights.parent)
    write_manifest(weights.parent, Manifest(source="o/m", downloaded_at="2026-01-01T00:00:00Z", files=files))
    spec = spec_of(tmp_path, weights=str(weights))
    assert facts_of(spec, tmp_path, tmp_path / "c").wrong_files == ()
    with weights.open("ab") as file:
        file.write(b"!")
    [line] = facts_of(spec, tmp_path, tmp_path / "c").wrong_files
    assert line.startswith("m.gguf has ")


def test_a_config_of_the_catalog_that_cannot_be_read_is_no_config_that_nobody_knows(tmp_path: Path) -> None:
    assert facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c").unreadable is None
    (tmp_path / "c" / "configs").mkdir(parents=True)
    (tmp_path / "c" / "configs" / "m.json").write_text("{no")
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert "m.json: is not JSON" in (facts.unreadable or "")


@pytest.mark.parametrize(
    ("names", "tokenizer", "source", "has_template"),
    [
        (["model.safetensors"], {}, {}, False),
        (["model.safetensors", "chat_template.jinja"], {}, {}, True),
        (["model.safetensors", "additional_chat_templates/rag.jinja"], {}, {}, True),
        (["model.safetensors"], {"chat_template": "{{ x }}"}, {}, True),
        (["model.gguf"], {}, {}, None),
        (["model.safetensors"], {}, {"tokenizer_repo": "o/t"}, None),
    ],
)
def test_before_the_download_its_small_files_tell_of_the_template(
    tmp_path: Path, names: list[str], tokenizer: dict[str, str], source: dict[str, str], has_template: bool | None
) -> None:
    small = tmp_path / "var" / "state" / "checkpoints" / "m"
    small.mkdir(parents=True)
    files = [{"origin": 0, "path": name, "record": {"path": name, "size_bytes": 1}} for name in names]
    told = {"repo": "o/m", "revision": "main", "path": "", "tokenizer": None, "files": files}
    (small / "files.json").write_text(json.dumps(told))
    (small / "config.json").write_text(json.dumps(CONFIG))
    (small / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    facts = facts_of(spec_of(tmp_path, source=Source(repo="o/m", **source)), tmp_path, tmp_path / "c")
    assert (facts.is_there, facts.has_template, facts.tokenizer) == (False, has_template, tokenizer)


def test_a_list_of_small_files_that_is_none_is_told(tmp_path: Path) -> None:
    small = tmp_path / "var" / "state" / "checkpoints" / "m"
    small.mkdir(parents=True)
    (small / "files.json").write_text("{no")
    facts = facts_of(spec_of(tmp_path), tmp_path, tmp_path / "c")
    assert "files.json: is not JSON" in (facts.unreadable or "")


def test_what_an_entry_names_beside_its_weights_is_looked_for(tmp_path: Path) -> None:
    vllm, gguf = tmp_path / "vllm", tmp_path / "m.gguf"
    spec = spec_of(tmp_path, vllm=str(vllm), source=Source(file=str(gguf)))
    facts = facts_of(spec, tmp_path, tmp_path / "c")
    assert (facts.has_vllm, facts.has_source_file) == (False, False)
    vllm.touch(0o755)
    gguf.touch()
    facts = facts_of(spec, tmp_path, tmp_path / "c")
    assert (facts.has_vllm, facts.has_source_file) == (True, True)
