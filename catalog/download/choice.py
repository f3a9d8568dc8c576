"""Which files of a repository are wanted: those that vLLM reads, each weight once.

Pure. vLLM reads *.safetensors and else *.bin of the folder that it is given, of several copies those that the index
names (`_prepare_weights` in vllm/model_executor/model_loader/default_loader.py), and what is in the folders of
sentence-transformers' modules (`1_Pooling/config.json`).
"""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from catalog.spec import Source

SAFETENSORS_INDEX = "model.safetensors.index.json"
_PICKLED_AND_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "scaler.bin", "rng_state*.bin")
"""As vLLM's own list (`filter_files_not_needed_for_inference`)."""
_TOKENIZER = (
    "tokenizer*",
    "vocab*.json",
    "vocab*.txt",
    "merges*.txt",
    "*.model",
    "*.model.v*",
    "*.tiktoken",
    "*.jinja",
    "chat_template*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tekken.json",
)
_SMALL = ("*.json", "*.txt", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
_NOT = ("*.msgpack.index.json", "*.h5.index.json", "flax_model*", "tf_model*", "trainer_state.json", "requirements.txt")
_MODULE_FOLDER = re.compile(r"^\d+_[A-Za-z0-9]+$")
_FOLDERS = frozenset({"additional_chat_templates"})


def choose(paths: Iterable[str], source: Source, *, with_code: bool = False) -> dict[str, str]:
    """The files of a repository that `source` wants: path there, and path below the folder of weights.

    `paths` are all files of the repository; `with_code` also takes its Python files (for trust-remote-code). Without a
    file of weights among them the choice holds none: see `weights_of`.
    """
    if source.path.endswith(".gguf"):
        return {path: PurePosixPath(path).name for path in paths if path == source.path}
    below = source.path.strip("/") + "/" if source.path.strip("/") else ""
    inside = {path: path[len(below) :] for path in paths if path.startswith(below)}
    if source.files:
        return {path: name for path, name in inside.items() if _is_like(name, source.files)}
    inside = {path: name for path, name in inside.items() if _is_of_the_model(name)}
    weights = [name for name in inside.values() if name.endswith(".safetensors")]
    if has_own := [name for name in weights if not _is_mistrals(name)]:
        weights = has_own
    if not weights:
        pickles = [name for name in inside.values() if name.endswith(".bin")]
        weights = [name for name in pickles if not _is_like(PurePosixPath(name).name, _PICKLED_AND_NO_WEIGHTS)]
    wanted = set(weights)
    index = "*.bin.index.json" if any(name.endswith(".safetensors") for name in weights) else "*.safetensors.index.json"
    for name in inside.values():
        base = PurePosixPath(name).name
        patterns = (*_SMALL, *_TOKENIZER, *(("*.py",) if with_code else ()))
        if _is_like(base, patterns) and not _is_like(base, (*_NOT, index)) and not (has_own and _is_mistrals(name)):
            wanted.add(name)
    return {path: name for path, name in inside.items() if name in wanted}


def tokenizer_of(paths: Iterable[str]) -> list[str]:
    """Those of `paths` that make up a tokenizer, with its chat templates; of the top folder and the templates' own."""
    return [path for path in paths if _is_of_the_model(path) and _is_like(PurePosixPath(path).name, _TOKENIZER)]


def weights_of(names: Iterable[str]) -> list[str]:
    """Those of `names` that hold weights."""
    return [name for name in names if name.endswith((".safetensors", ".bin", ".gguf"))]


def without_copies(names: Collection[str], indexed: Collection[str]) -> list[str]:
    """`names` without the safetensors in the top folder that the index does not name: copies of what it does.

    As vLLM's `filter_duplicate_safetensors_files`. An index that names a file that is not there is not believed.
    """
    if not indexed or not set(indexed) <= set(names):
        return list(names)
    return [name for name in names if "/" in name or not name.endswith(".safetensors") or name in indexed]


def _is_of_the_model(name: str) -> bool:
    """Whether it lies in the top folder, or in one whose content vLLM reads too."""
    folders = PurePosixPath(name).parts[:-1]
    return not folders or (
        len(folders) == 1 and (_MODULE_FOLDER.match(folders[0]) is not None or folders[0] in _FOLDERS)
    )


def _is_mistrals(name: str) -> bool:
    """Whether it is of Mistral's own layout, which mostly is a second copy of the same weights."""
    return PurePosixPath(name).name.startswith("consolidated")


def _is_like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
