"""What is wrong with a model of the catalog, as far as facts on the disk tell. Pure: `catalog.check.facts` reads them.

A fault is what would keep the engine from starting, or make it serve something else than the catalog says. What a
person should know and may want so is a note. What only vLLM can tell is asked of it by `catalog.check.vllm_check`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from catalog.check.remedies import again, anew, convert, download
from catalog.estimate.context_limit import context_limit
from catalog.estimate.dimensions import merged
from catalog.estimate.flags import flags_of
from catalog.spec import GIB, ModelSpec

TOO_MUCH = 1.25
"""How much more than the estimate may be declared before it is worth a note: the estimate is right to some 10%."""
TOO_LITTLE = 0.97
WEIGHTS_AT_LEAST = 0.95
WRONG_PLACE = "is this the right repository, and the right 'path' in it?"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOT_TRANSFORMERS = frozenset({"LlavaLlamaForCausalLM", "LlavaMistralForCausalLM", "LlavaQwenForCausalLM"})
"""The layout of the original LLaVA code, which vLLM does not have (vLLM 0.32, `model_executor/models/registry.py`)."""


class Aspect(StrEnum):
    """What a finding is about; of two about the same, the first is told."""

    FLAGS = "flags"
    CONFIG = "config"
    ARCHITECTURE = "architecture"
    CONTEXT = "context"
    TEMPLATE = "template"
    EMBEDDER = "embedder"
    QUANTISATION = "quantisation"
    DTYPE = "dtype"
    FILES = "files"
    REVISION = "revision"
    MEMORY = "memory"
    LICENCE = "licence"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about one model: what is wrong or worth knowing, and the remedy where there is one."""

    model: str
    aspect: Aspect
    what: str
    remedy: str | None = None
    is_fault: bool = True

    def __str__(self) -> str:
        line = f"{self.model}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")
        return line if self.is_fault else f"note: {line}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What lies on the disk about one model.

    `config` is the first config.json that was found, `origin` where, in words. `is_there` is whether the weights are:
    then the config is the one that vLLM will read. `has_template` is None where the tokenizer is not known,
    `has_fast_tokenizer` whether there is a tokenizer.json, which loads whatever its class was called.
    `has_vllm` is whether the vLLM that its file names is there, `has_source_file` the GGUF file that it is made from.
    `wrong_files` are its files that are missing or not what was downloaded, in words, `has_manifest` whether what they
    must be was written down; `unreadable` is what is wrong with the config that stands in for weights that are not
    there; `unfinished_bytes` what lies there of a download that has not ended. `repo` and `commit` are what was
    downloaded.
    """

    config: Mapping[str, Any] | None = None
    origin: str = "nowhere"
    is_there: bool = False
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    sentence_length: int | None = None
    has_template: bool | None = None
    has_tokenizer: bool = True
    has_fast_tokenizer: bool = False
    is_template_there: bool = True
    has_vllm: bool = True
    has_source_file: bool = True
    wrong_files: tuple[str, ...] = ()
    has_manifest: bool = False
    unreadable: str | None = None
    unfinished_bytes: int | None = None
    repo: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What the estimator says that a model needs on each device: in all (None: not known here), and for one request.

    `weights_bytes` is the part of it that is known to some 5% everywhere.
    """

    all_bytes: int | None
    kv_one_request_bytes: int
    weights_bytes: int = 0


def findings(spec: ModelSpec, facts: Facts, need: Need | None = None) -> list[Finding]:
    """All that is wrong with `spec` or worth knowing."""
    found = [*_download(spec, facts), *_revision(spec, facts), *_licence(spec), *_memory(spec, need)]
    found += _template(spec, facts)
    if not facts.has_vllm:
        what = f"its vllm {spec.vllm} is not there, or cannot be run"
        found.append(Finding(spec.name, Aspect.FLAGS, what, "install vLLM there, or change 'vllm' in its file"))
    if facts.unreadable is not None:
        found.append(Finding(spec.name, Aspect.CONFIG, facts.unreadable, "mend it, or remove it"))
    if facts.config is not None:
        found += [*_architecture(spec, facts, facts.config), *_context(spec, facts, facts.config)]
    return found


def _download(spec: ModelSpec, facts: Facts) -> list[Finding]:
    fetch = download(spec)
    wrong = [
        Finding(spec.name, Aspect.FILES, what, again(spec, has_manifest=facts.has_manifest, repo=facts.repo))
        for what in facts.wrong_files
    ]
    if facts.is_there and not facts.has_tokenizer:
        what = f"there is no tokenizer in {spec.weights}"
        remedy = f"name another's in source.tokenizer_repo, then {anew(spec)}"
        if spec.source is None or spec.source.repo is None:
            remedy = "put one there, or name another's with vllm_args.tokenizer"
        wrong.append(Finding(spec.name, Aspect.FILES, what, remedy))
    if facts.is_there or wrong:
        return wrong
    if facts.unfinished_bytes is not None:
        so_far = f"its download is not finished ({facts.unfinished_bytes / GIB:.1f} GiB are there)"
        return [Finding(spec.name, Aspect.DOWNLOAD, so_far, f"{fetch} goes on with it", is_fault=False)]
    if spec.source is None:
        what = f"there are no weights at {spec.weights}, and the catalog names no source"
        return [Finding(spec.name, Aspect.FILES, what, "put them there, or add 'source'")]
    if not facts.has_source_file:
        what = f"{spec.source.file}, of which it is made, is not there"
        return [Finding(spec.name, Aspect.DOWNLOAD, what, "bring it, or change source.file in the model's file")]
    size = f", {spec.source.size_bytes / GIB:.1f} GiB" if spec.source.size_bytes else ""
    where = spec.source.repo or spec.source.pypi or spec.source.file
    known = "nothing is known of it" if facts.config is None else f"it was checked by {facts.origin}"
    what = f"is not downloaded yet ({where}{size}): {known}"
    return [Finding(spec.name, Aspect.DOWNLOAD, what, fetch, is_fault=False)]


def _revision(spec: ModelSpec, facts: Facts) -> list[Finding]:
    source = spec.source
    if source is None or source.repo is None:
        return []
    if facts.is_there and facts.repo is not None and facts.repo != source.repo:
        what = f"its weights are those of {facts.repo}, and the catalog names {source.repo}"
        return [Finding(spec.name, Aspect.REVISION, what, anew(spec))]
    is_pinned = _COMMIT.fullmatch(source.revision) is not None
    if facts.is_there and is_pinned and facts.commit is not None and facts.commit != source.revision:
        what = f"its weights are of commit {facts.commit}, and the catalog names {source.revision}"
        return [Finding(spec.name, Aspect.REVISION, what, anew(spec))]
    if is_pinned:
        return []
    what = f"its revision '{source.revision}' is no commit: what it stands for may change"
    remedy = f"to keep what was downloaded, write revision: {facts.commit}" if facts.commit else None
    return [Finding(spec.name, Aspect.REVISION, what, remedy, is_fault=False)]


def _licence(spec: ModelSpec) -> list[Finding]:
    if spec.licence is None:
        return [Finding(spec.name, Aspect.LICENCE, "no licence is noted", "write the weights' own under 'licence'")]
    if spec.licence_forbids is None:
        return []
    what = f"its licence forbids: {spec.licence_forbids}"
    return [Finding(spec.name, Aspect.LICENCE, what, is_fault=False)]


def _memory(spec: ModelSpec, need: Need | None) -> list[Finding]:
    """vLLM refuses to start where not one request of full length fits (vLLM 0.32, `v1/core/kv_cache_utils.py`)."""
    if need is None:
        return []
    if spec.kv_cache_bytes is not None and spec.kv_cache_bytes < need.kv_one_request_bytes:
        wanted = f"{need.kv_one_request_bytes / GIB:.4g}"
        what = f"kv_cache_gib is {spec.kv_cache_bytes / GIB:.4g}, and one request of max_model_len takes {wanted}"
        remedy = f"set kv_cache_gib to {wanted} or more, or lower max_model_len"
        return [Finding(spec.name, Aspect.MEMORY, what, remedy)]
    if need.all_bytes is None:
        if need.weights_bytes * WEIGHTS_AT_LEAST <= spec.memory_bytes:
            return []
        what = f"memory_gib is {spec.memory_bytes / GIB:.4g}, and its weights alone take {need.weights_bytes / GIB:.1f}"
        return [Finding(spec.name, Aspect.MEMORY, what, "raise memory_gib")]
    what = f"memory_gib is {spec.memory_bytes / GIB:.4g}, and it needs about {need.all_bytes / GIB:.1f}"
    if spec.memory_bytes < need.all_bytes * TOO_LITTLE:
        return [Finding(spec.name, Aspect.MEMORY, what, "raise memory_gib")]
    if spec.memory_bytes > need.all_bytes * TOO_MUCH:
        return [Finding(spec.name, Aspect.MEMORY, f"{what}: others could use the difference", is_fault=False)]
    return []


def _template(spec: ModelSpec, facts: Facts) -> list[Finding]:
    """A model that writes text without a template answers every chat with 400 (vLLM 0.32, `renderers/hf.py`)."""
    if not facts.is_template_there:
        what = f"its chat_template {spec.chat_template} is not there"
        return [Finding(spec.name, Aspect.TEMPLATE, what, "paths are relative to the project folder")]
    if spec.embedder or spec.chat_template is not None or facts.has_template is not False:
        return []
    what = "its tokenizer has no chat template, so that every chat is refused"
    return [Finding(spec.name, Aspect.TEMPLATE, what, "give one with 'chat_template'")]


def _architecture(spec: ModelSpec, facts: Facts, config: Mapping[str, Any]) -> list[Finding]:
    names = [str(name) for name in config.get("architectures") or ()]
    if not names and spec.is_gguf:
        return []  # vLLM's plugin knows it by the file's own name for it
    if not names:
        what = f"its config.json ({facts.origin}) names no architecture"
        return [Finding(spec.name, Aspect.ARCHITECTURE, what, WRONG_PLACE)]
    if _NOT_TRANSFORMERS & set(names) or config.get("model_type") == "llava_llama":
        what = f"{names[0]} is the layout of the original LLaVA code, which vLLM does not have"
        return [Finding(spec.name, Aspect.ARCHITECTURE, what, "use a repository in Transformers' layout (NAME-hf)")]
    if facts.is_there and names[0].startswith("GPT2") and config.get("scale_attn_by_inverse_layer_idx"):
        what = "its attention is scaled by layer (scale_attn_by_inverse_layer_idx), which vLLM's GPT-2 refuses"
        return [Finding(spec.name, Aspect.ARCHITECTURE, what, f"have it folded into the weights, {convert(spec)}")]
    if facts.is_there and facts.tokenizer.get("tokenizer_class") == "LLaMATokenizer" and not facts.has_fast_tokenizer:
        what = "its tokenizer is a LLaMATokenizer, a name of 2023 that Transformers does not have any more"
        remedy = f"have it made anew from its tokenizer.model, {convert(spec)}"
        return [Finding(spec.name, Aspect.ARCHITECTURE, what, f"{remedy} (or --tokenizer FOLDER, with another's)")]
    return []


def _context(spec: ModelSpec, facts: Facts, config: Mapping[str, Any]) -> list[Finding]:
    try:
        flags = flags_of(spec)
    except ValueError as error:
        return [Finding(spec.name, Aspect.FLAGS, str(error))]
    config = merged(config, flags.hf_overrides)
    # vLLM asks the tokenizer only where positions are learnt and the model embeds.
    asks_tokenizer = spec.embedder and config.get("position_embedding_type") == "absolute"
    tokenizer = facts.tokenizer if asks_tokenizer else {}
    limit, key = context_limit(config, tokenizer, facts.sentence_length)
    if limit is None or spec.max_model_len <= limit:
        return []
    what = f"max_model_len {spec.max_model_len} is above the model's own limit of {limit} ({key})"
    if flags.allow_long_max_model_len:
        what += ", which VLLM_ALLOW_LONG_MAX_MODEL_LEN allows: beyond it the answers are worthless"
        return [Finding(spec.name, Aspect.CONTEXT, what, is_fault=False)]
    return [Finding(spec.name, Aspect.CONTEXT, what, f"set max_model_len to {limit} or less")]
