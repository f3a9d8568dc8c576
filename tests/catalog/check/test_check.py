"""Facts on one side, findings on the other."""

import json
from typing import Any

import pytest

from catalog.check.check import Aspect, Facts, Finding, Need, findings
from catalog.spec import GIB, Gib, ModelSpec, Source
from tests.installation import CHECKOUT

CONFIGS = CHECKOUT / "catalog" / "models" / "configs"
LLAMA = json.loads((CONFIGS / "chatdoctor-7b-fp16.json").read_text())
GPT2 = json.loads((CONFIGS / "biomedlm-embed.json").read_text())
BERT = json.loads((CONFIGS / "pubmedbert-embed.json").read_text())
COMMIT, OTHER = "a" * 40, "b" * 40
REPO = Source(repo="o/m", revision=COMMIT, size_bytes=Gib(3 * GIB))


def spec_of(**more: Any) -> ModelSpec:
    fixed = {"name": "m", "weights": "/w", "port": 8101, "max_model_len": 2048, "licence": "MIT"}
    amounts = {"memory_bytes": Gib(20 * GIB), "kv_cache_bytes": Gib(2 * GIB)}
    return ModelSpec(**{**fixed, **amounts, "source": REPO, **more})


def there(config: dict[str, Any] = LLAMA, **more: Any) -> Facts:
    """Of a model that is downloaded as it should be, but for `more`."""
    fixed = {"config": config, "is_there": True, "has_template": True, "repo": "o/m", "commit": COMMIT}
    return Facts(**{**fixed, **more})


def one(spec: ModelSpec, facts: Facts, need: Need | None = None) -> Finding:
    [found] = findings(spec, facts, need)
    return found


def test_of_a_good_model_there_is_nothing_to_say() -> None:
    assert findings(spec_of(), there(), Need(18 * GIB, GIB)) == []


def test_a_fault_is_one_line_with_its_remedy_and_a_note_says_that_it_is_one() -> None:
    fault = Finding("m", Aspect.FILES, "x is missing", "download it")
    assert str(fault) == "m: x is missing; download it"
    assert str(Finding("m", Aspect.LICENCE, "forbids", is_fault=False)) == "note: m: forbids"


# --- files and where they are from ----------------------------------------------------------------------------------


def test_what_can_be_downloaded_is_noted_with_its_size_and_how() -> None:
    found = one(spec_of(), Facts(config=LLAMA, origin="the small files"))
    assert (found.is_fault, found.remedy) == (False, "bin/manage_vllm.sh download m")
    assert found.what == "is not downloaded yet (o/m, 3.0 GiB): it was checked by the small files"


def test_a_download_that_has_not_ended_is_noted_as_that() -> None:
    found = one(spec_of(), Facts(config=LLAMA, unfinished_bytes=2 * GIB))
    assert (found.is_fault, found.aspect) == (False, Aspect.DOWNLOAD)
    assert found.what == "its download is not finished (2.0 GiB are there)"


def test_weights_that_are_not_there_and_come_from_nowhere_are_a_fault() -> None:
    found = one(spec_of(source=None), Facts())
    assert (found.is_fault, found.aspect) == (True, Aspect.FILES)
    assert "no weights at /w, and the catalog names no source" in found.what


def test_each_wrong_file_is_a_fault() -> None:
    wrong = there(wrong_files=("a is missing", "b is cut off"), has_manifest=True)
    found = findings(spec_of(), wrong)
    assert [(one.what, one.is_fault) for one in found] == [("a is missing", True), ("b is cut off", True)]
    assert {one.remedy for one in found} == {"bin/manage_vllm.sh download m --repair"}
    assert not any("download m" in (one.remedy or "") for one in findings(spec_of(source=None), wrong))


@pytest.mark.parametrize("more", [{"has_manifest": False}, {"repo": "o/x"}])
def test_what_a_download_cannot_repair_is_to_be_moved_away_first(more: dict[str, Any]) -> None:
    found = findings(spec_of(), there(**{"wrong_files": ("a is missing",), "has_manifest": True, **more}))
    assert found[0].remedy == "move /w away, then bin/manage_vllm.sh download m"


def test_weights_without_a_tokenizer_are_a_fault_that_says_where_one_may_come_from() -> None:
    found = one(spec_of(), there(has_tokenizer=False))
    assert (found.aspect, found.is_fault, found.what) == (Aspect.FILES, True, "there is no tokenizer in /w")
    assert "source.tokenizer_repo" in (found.remedy or "")


def test_weights_of_another_commit_or_repository_are_a_fault() -> None:
    found = one(spec_of(), there(commit=OTHER))
    assert (found.aspect, found.is_fault) == (Aspect.REVISION, True)
    assert found.what == f"its weights are of commit {OTHER}, and the catalog names {COMMIT}"
    assert "those of o/x, and the catalog names o/m" in one(spec_of(), there(repo="o/x")).what


def test_weights_that_nobody_wrote_down_the_origin_of_are_taken_as_they_are() -> None:
    assert findings(spec_of(), there(repo=None, commit=None)) == []


def test_a_revision_that_is_no_commit_is_noted_with_the_commit_that_came() -> None:
    unpinned = spec_of(source=Source(repo="o/m"))
    found = one(unpinned, there(commit=OTHER))
    assert (found.is_fault, found.remedy) == (False, f"to keep what was downloaded, write revision: {OTHER}")
    assert [one.aspect for one in findings(unpinned, Facts(config=LLAMA))] == [Aspect.DOWNLOAD, Aspect.REVISION]


# --- what the model is ----------------------------------------------------------------------------------------------


def test_a_licence_that_is_not_noted_is_a_fault_and_what_one_forbids_a_note() -> None:
    assert one(spec_of(licence=None), there()).is_fault
    found = one(spec_of(licence_forbids="clinical use"), there())
    assert (found.is_fault, found.what) == (False, "its licence forbids: clinical use")


@pytest.mark.parametrize(
    ("need", "is_fault", "says"),
    [
        (Need(21 * GIB, GIB), True, "memory_gib is 20, and it needs about 21.0"),
        (Need(12 * GIB, GIB), False, "memory_gib is 20, and it needs about 12.0: others could use the difference"),
        (Need(20 * GIB, 3 * GIB), True, "kv_cache_gib is 2, and one request of max_model_len takes 3"),
        (Need(None, GIB, 22 * GIB), True, "memory_gib is 20, and its weights alone take 22.0"),
        (Need(None, 3 * GIB), True, "kv_cache_gib is 2, and one request of max_model_len takes 3"),
    ],
)
def test_memory_that_is_not_enough_is_a_fault_and_far_too_much_a_note(need: Need, is_fault: bool, says: str) -> None:
    found = one(spec_of(), there(), need)
    assert (found.aspect, found.is_fault, found.what) == (Aspect.MEMORY, is_fault, says)


@pytest.mark.parametrize("need", [None, Need(None, GIB, 21 * GIB), Need(20 * GIB, GIB), Need(round(20.3 * GIB), GIB)])
def test_memory_that_is_about_right_or_of_which_nothing_is_known_is_no_finding(need: Need | None) -> None:
    assert findings(spec_of(), there(), need) == []


def test_a_model_that_writes_needs_a_template_of_its_own_or_from_the_catalog() -> None:
    found = one(spec_of(), there(has_template=False))
    assert (found.aspect, found.is_fault) == (Aspect.TEMPLATE, True)
    assert findings(spec_of(chat_template="/t.jinja"), there(has_template=False)) == []
    assert findings(spec_of(embedder=True), there(has_template=False)) == []
    assert findings(spec_of(), there(has_template=None)) == []


def test_a_template_that_is_not_there_is_a_fault() -> None:
    found = one(spec_of(chat_template="/t.jinja"), there(is_template_there=False))
    assert (found.aspect, found.what) == (Aspect.TEMPLATE, "its chat_template /t.jinja is not there")


def test_a_config_that_names_no_architecture_is_a_fault() -> None:
    found = one(spec_of(), there({"model_type": "llama"}))
    assert (found.aspect, found.is_fault) == (Aspect.ARCHITECTURE, True)


@pytest.mark.parametrize(
    "config", [{"architectures": ["LlavaLlamaForCausalLM"]}, {"architectures": ["X"], "model_type": "llava_llama"}]
)
def test_the_layout_of_the_original_llava_code_is_a_fault_that_says_where_to_look(config: dict[str, Any]) -> None:
    found = one(spec_of(), there(config))
    assert (found.aspect, found.remedy) == (
        Aspect.ARCHITECTURE,
        "use a repository in Transformers' layout (NAME-hf)",
    )


def test_biomedlms_scale_is_a_fault_where_it_would_be_served_and_none_where_a_download_folds_it_in() -> None:
    spec = spec_of(embedder=True, max_model_len=1024)
    command = "mv /w /w.original && .venv-vllm/bin/python -m catalog.convert /w.original /w"
    assert (one(spec, there(GPT2)).remedy or "").endswith(f"in the project folder: {command}")
    assert [found.aspect for found in findings(spec, Facts(config=GPT2))] == [Aspect.DOWNLOAD]
    assert findings(spec, there({**GPT2, "scale_attn_by_inverse_layer_idx": False})) == []


def test_the_tokenizer_of_2023_is_a_fault_unless_it_is_there_in_todays_form_too() -> None:
    found = one(spec_of(), there(tokenizer={"tokenizer_class": "LLaMATokenizer"}))
    assert ".venv-vllm/bin/python -m catalog.convert /w.original /w (or --tokenizer" in (found.remedy or "")
    fast = there(tokenizer={"tokenizer_class": "LLaMATokenizer"}, has_fast_tokenizer=True)
    assert findings(spec_of(), fast) == []


def test_a_context_beyond_the_models_own_is_a_fault_that_says_the_limit() -> None:
    found = one(spec_of(max_model_len=4096), there())
    assert found.what == "max_model_len 4096 is above the model's own limit of 2048 (max_position_embeddings)"
    assert (found.is_fault, found.remedy) == (True, "set max_model_len to 2048 or less")


def test_a_context_beyond_it_is_a_note_where_vllm_is_told_to_allow_it_and_nothing_where_the_config_is_changed() -> None:
    allowed = spec_of(max_model_len=4096, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
    assert not one(allowed, there()).is_fault
    changed = spec_of(max_model_len=4096, vllm_args={"hf-overrides": {"max_position_embeddings": 4096}})
    assert findings(changed, there()) == []


def test_an_embedders_context_is_also_its_tokenizers_and_its_sentences() -> None:
    spec = spec_of(embedder=True, max_model_len=400)
    assert "(the tokenizer's model_max_length)" in one(spec, there(BERT, tokenizer={"model_max_length": 256})).what
    assert "limit of 128 (max_seq_length of" in one(spec, there(BERT, sentence_length=128)).what
    assert findings(spec, there(BERT, tokenizer={"model_max_length": 10**30})) == []


def test_flags_that_cannot_be_read_are_a_fault_also_without_vllm() -> None:
    found = one(spec_of(vllm_args={"hf-overrides": "{no"}), there())
    assert (found.aspect, found.is_fault) == (Aspect.FLAGS, True)
    assert "hf-overrides" in found.what


def test_a_config_that_cannot_be_read_is_a_fault() -> None:
    found = findings(spec_of(), Facts(unreadable="configs/m.json: is not JSON"))
    assert [(one.aspect, one.what) for one in found if one.is_fault] == [(Aspect.CONFIG, "configs/m.json: is not JSON")]


def test_a_vllm_that_is_not_there_is_a_fault() -> None:
    found = one(spec_of(vllm="/nonexistent"), there(has_vllm=False))
    assert (found.is_fault, found.what) == (True, "its vllm /nonexistent is not there, or cannot be run")


def test_a_gguf_file_to_be_made_from_that_is_not_there_is_a_fault_until_the_model_is() -> None:
    spec = spec_of(source=Source(file="/missing.gguf"))
    found = one(spec, Facts(config=LLAMA, has_source_file=False))
    assert (found.is_fault, found.what) == (True, "/missing.gguf, of which it is made, is not there")
    assert findings(spec, there(has_source_file=False, repo=None)) == []
