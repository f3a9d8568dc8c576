"""Reads the facts of a model's checkpoint, wherever the first of them lie: its config and its tensors, no weight.

Looked for, in this order: the weights themselves; the small files of their repository, fetched before any weights; the
config.json that the catalog carries. What is of another source than the catalog names is not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.estimate.gguf import read_gguf
from catalog.estimate.tensors import TENSORS_FILE, CheckpointError, Tensor, read_json, read_tensors, safetensors_header
from catalog.spec import ModelSpec

SMALL_FILES = Path("var/state/checkpoints")
"""Below the project folder: one folder a model, with config.json, tensors.json and files.json (what they are of)."""

SHIPPED_CONFIGS = Path("configs")
"""Below the folder of a catalog: NAME.json, a repository's config.json as far as it is publicly known."""

REPOSITORY_KEY = "_repository"
"""The key in these that says of which repository it is; it is no part of the config."""

_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is known of one checkpoint.

    `config` is its config.json; `tensors` what its headers say, None where they are not known; `total_bytes` how large
    its weights are as stored, where at least that is known; `origin` where all this is from, in words.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor] | None
    total_bytes: int | None
    origin: str


class NothingKnown(CheckpointError):
    """No file tells anything of a checkpoint; the message says where they could be."""


def read_checkpoint(spec: ModelSpec, root: Path, catalog: Path) -> Checkpoint:
    """The facts of `spec`'s checkpoint; `root` is the project folder, `catalog` that of the catalog `spec` is from.

    Raises: CheckpointError, for a file that is wrong; NothingKnown.
    """
    weights, small = Path(spec.weights), small_files_of(spec, root)
    shipped = catalog / SHIPPED_CONFIGS / f"{spec.name}.json"
    if spec.is_gguf and weights.is_file():
        config, tensors = read_gguf(weights)
        return Checkpoint(config, tensors, _bytes_of(tensors), f"from the header of {_short(weights, root)}")
    if (weights / "config.json").is_file():
        return _of_folder(weights, f"from the files in {_short(weights, root)}")
    if small is not None and (small / "config.json").is_file():
        facts = small / TENSORS_FILE
        told, total_bytes = read_tensors(facts) if facts.is_file() else (None, None)
        if told is not None:
            total_bytes = _bytes_of(told)
        return Checkpoint(read_json(small / "config.json"), told, total_bytes, "from the repository's small files")
    if shipped.is_file():
        config = dict(read_json(shipped))
        # A file that does not say of which repository it is goes by its name.
        if config.pop(REPOSITORY_KEY, repo := spec.source and spec.source.repo) == repo:
            return Checkpoint(config, None, None, "from the config.json that the catalog carries")
    looked = ", ".join(_short(path, root) for path in (weights, root / SMALL_FILES / spec.name, shipped))
    remedy = "put its weights there" if spec.source is None else f"download {spec.name}"
    raise NothingKnown(weights, f"nothing is known of this checkpoint (looked for {looked}): {remedy}")


def small_files_of(spec: ModelSpec, root: Path) -> Path | None:
    """The folder with the small files of the repository that `spec` is from; None if they are of another.

    Raises: CheckpointError.
    """
    folder = root / SMALL_FILES / spec.name
    if not (folder / "files.json").is_file():
        return folder if folder.is_dir() else None  # written last: these are not all yet, or were put there by hand
    told, source = read_json(folder / "files.json"), spec.source
    if source is None or (told.get("repo"), told.get("path")) != (source.repo, source.path):
        return None
    return folder if source.revision in {told.get("revision"), told.get("commit")} else None


def _of_folder(folder: Path, origin: str) -> Checkpoint:
    """Raises: CheckpointError."""
    config = read_json(folder / "config.json")
    paths = _safetensors_of(folder)
    if not paths:
        pickles = sorted(folder.glob("pytorch_model*.bin"))
        total_bytes = sum(path.stat().st_size for path in pickles)
        return Checkpoint(config, None, total_bytes or None, origin)
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= safetensors_header(path)
    return Checkpoint(config, tensors, _bytes_of(tensors), origin)


def _safetensors_of(folder: Path) -> list[Path]:
    """The files that vLLM loads: those of the index where there is one, else all (vLLM, `model_loader/weight_utils.py`,
    filter_duplicate_safetensors_files: some repositories carry their weights twice). Raises: CheckpointError.
    """
    index = folder / _INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict):
        raise CheckpointError(index, "must have a weight_map: {TENSOR: FILE, ...}")
    return [folder / name for name in sorted(set(map(str, names.values())))]


def _bytes_of(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.bytes for tensor in tensors.values())


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
