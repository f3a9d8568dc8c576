"""Gathers what the disk tells of a model, for `catalog.check.check`: config, tokenizer, files, what was downloaded."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from catalog.check.check import Facts
from catalog.check.files import against_manifest, wrong_files
from catalog.download.manifest import read_manifest
from catalog.download.place import is_there, staging_of, what_is_in_the_way
from catalog.estimate.checkpoint import NothingKnown, read_checkpoint, small_files_of
from catalog.estimate.tensors import CheckpointError, read_json
from catalog.spec import ModelSpec

_NOTHING: Mapping[str, Any] = {}
_TEMPLATES = frozenset({"chat_template.jinja", "chat_template.json", "additional_chat_templates"})
_TOKENIZERS = ("tokenizer.json", "*.model", "*.tiktoken", "tekken.json", "vocab.json", "vocab.txt")
"""Files of which a tokenizer has at least one, whatever its kind."""


def facts_of(spec: ModelSpec, root: Path, catalog: Path, *, with_hashes: bool = False) -> Facts:
    """What is known of `spec`, of the catalog in the folder `catalog`; `root` is the project folder.

    `with_hashes` reads all of each file.
    """
    weights, folder = Path(spec.weights), spec.folder
    there, is_gguf, staging = is_there(spec), weights.suffix == ".gguf", staging_of(folder)
    config, origin, wrong = None, "nothing of it", list[str]()
    manifest, unreadable = read_manifest(folder), None
    if is_gguf and there:
        wrong = against_manifest(folder, with_hashes=with_hashes)[0]
    elif there or (manifest is not None and not is_gguf):
        needs_weights = spec.vllm_args.get("load-format") != "dummy"
        wrong = wrong_files(folder, with_hashes=with_hashes, needs_weights=needs_weights)
    elif (in_the_way := what_is_in_the_way(weights)) is not None:
        wrong = [in_the_way]
    try:
        checkpoint = read_checkpoint(spec, root, catalog)
        config, origin = checkpoint.config, checkpoint.origin.removeprefix("from ")
    except NothingKnown:
        pass
    except CheckpointError as error:
        if not there:
            unreadable = str(error)
        elif not wrong:
            wrong.append(str(error))
    at = folder if there else _small_files(spec, root)
    tokenizer = _NOTHING if at is None else _json(at / "tokenizer_config.json")
    # A GGUF file carries its own, and the flag names another.
    names_another = bool({"tokenizer", "skip-tokenizer-init"} & set(spec.vllm_args))
    has_own_tokenizer = there and not is_gguf and not names_another
    has_template = None
    if has_own_tokenizer:
        has_template = _has_template(_names_in(folder), tokenizer)
    elif at is not None and not there and not names_another:
        has_template = _will_have_template(spec, at, tokenizer)
    return Facts(
        config=config,
        origin=origin,
        is_there=there,
        tokenizer=tokenizer,
        sentence_length=_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        has_template=has_template,
        has_tokenizer=not has_own_tokenizer or any(path for name in _TOKENIZERS for path in folder.glob(name)),
        has_fast_tokenizer=(folder / "tokenizer.json").is_file(),
        is_template_there=spec.chat_template is None or Path(spec.chat_template).is_file(),
        has_vllm=spec.vllm is None or os.access(spec.vllm, os.X_OK),
        has_source_file=spec.source is None or spec.source.file is None or Path(spec.source.file).is_file(),
        wrong_files=tuple(wrong),
        unreadable=unreadable,
        has_manifest=manifest is not None,
        unfinished_bytes=_size_of(staging) if staging.is_dir() else None,
        repo=None if manifest is None else manifest.source,
        commit=None if manifest is None else manifest.commit,
    )


def _has_template(names: Iterable[str], tokenizer: Mapping[str, Any]) -> bool:
    """Where Transformers 5 looks for one (`PreTrainedTokenizerBase.from_pretrained`, `ProcessorMixin`)."""
    return bool(tokenizer.get("chat_template")) or not _TEMPLATES.isdisjoint(name.split("/")[0] for name in names)


def _will_have_template(spec: ModelSpec, small: Path, tokenizer: Mapping[str, Any]) -> bool | None:
    """Whether the tokenizer that a download will bring has one, by its small files in `small`; None if nobody knows."""
    told, source = _json(small / "files.json"), spec.source
    names = [str(wanted["record"]["path"]) for wanted in told.get("files") or ()]
    if source is None or not names or told.get("tokenizer") != source.tokenizer_repo:
        return None
    if source.tokenizer_repo is None and any(name.endswith(".gguf") for name in names):
        return None  # the GGUF file's own
    return _has_template(names, tokenizer)


def _small_files(spec: ModelSpec, root: Path) -> Path | None:
    try:
        return small_files_of(spec, root)
    except CheckpointError:
        return None  # told with the config


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON file's content; nothing where it cannot be read: vLLM then does without it as well."""
    try:
        return read_json(path)
    except CheckpointError:
        return _NOTHING


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
