"""Converts checkpoints that vLLM 0.32 does not load as they are, or would compute something else with.

    .venv-vllm/bin/python -m catalog.convert SOURCE TARGET [--tokenizer FOLDER] [--dtype float16|bfloat16|keep]

`needs_conversion` decides from the small files alone and needs no PyTorch; `convert` runs in vLLM's environment.
Rule: the target is there whole or not at all. It is made beside its place, keeps every key of the configuration that
had not to change, and holds a note of what was done (`rota-conversion.json`).
"""

import argparse
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from catalog.convert import gpt2, llama
from catalog.convert.gguf import GgufUnusable, convert_gguf
from catalog.convert.llama import TokenizerUnlike, read, write
from catalog.convert.weights import WeightsUnusable, files_of, rewrite

NOTE = "rota-conversion.json"
DTYPES = ("float16", "bfloat16", "keep")
_WEIGHTS = {".bin", ".safetensors", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ot", ".gguf"}
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_PACKAGES = ("torch", "transformers", "safetensors", "sentencepiece", "gguf")


class ConversionError(Exception):
    """A checkpoint could not be converted; the message says why and what can be done."""


def needs_conversion(folder: Path) -> str | None:
    """Why the checkpoint in `folder` (or the .gguf file) is to be converted; None where vLLM takes it as it is.

    A .gguf file is served by vLLM's plugin or converted: which of them is the catalog's choice. Pickles count, though
    vLLM reads them: slowly, in 32 bits on the disk, and with what else a pickle may hold.

    Raises: ConversionError where there is no checkpoint.
    """
    if folder.suffix == ".gguf":
        return "it is a GGUF file"
    config = _config(folder)
    found = [*gpt2.reasons(config), *llama.reasons(folder, config)]
    if _has_pickles_only(folder):
        found.append("its weights are pickles (.bin)")
    return "; ".join(found) or None


def convert(source: Path, target: Path, tokenizer: Path | None = None, dtype: str = "float16") -> list[str]:
    """Write `source`, a folder or a .gguf file, as folder `target` that vLLM loads. Returns what was done.

    The files of the folder `tokenizer` take the place of the source's own. Weights of 32 bits become `dtype`.

    Raises: ConversionError.
    """
    if target.exists():
        raise ConversionError(f"{target} is there already: move it away first")
    scratch = target.with_name(f"{target.name}.converting")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a conversion that was killed
    try:
        scratch.mkdir(parents=True)
        if source.suffix == ".gguf":
            done = convert_gguf(source, scratch)
        else:
            done = _convert_folder(source, scratch, tokenizer, dtype)
        write(scratch / NOTE, _note(source, tokenizer, done))
        scratch.rename(target)
    except (WeightsUnusable, GgufUnusable, TokenizerUnlike) as error:
        raise ConversionError(str(error)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return done


def _convert_folder(source: Path, target: Path, tokenizer: Path | None, dtype: str) -> list[str]:
    """Raises: ConversionError, WeightsUnusable, TokenizerUnlike."""
    config = _config(source)
    sources = files_of(source)
    for path in source.iterdir():
        if path.is_file() and path.suffix not in _WEIGHTS and not path.name.endswith(".index.json"):
            shutil.copy(path, target)
    done = []
    if tokenizer is not None:
        _replace_tokenizer(tokenizer, target)
        done.append("another repository's tokenizer put in the place of its own")
    is_pickled = sources[0].suffix == ".bin"
    folds = gpt2.reasons(config)
    if is_pickled or folds:
        done += _rewrite(config, sources, target, dtype)
    else:
        for path in (*sources, *source.glob("*.safetensors.index.json")):
            _link(path, target / path.name)
    if config.get("model_type") in llama.FAMILY:
        done += llama.mend(target)
    return done


def _rewrite(config: dict[str, Any], sources: list[Path], target: Path, dtype: str) -> list[str]:
    """Write the weights, and a configuration that fits them."""
    is_gpt2, is_tied = config.get("model_type") == "gpt2", _is_tied(config)

    def change(name: str, tensor: Any) -> Any:
        if name.endswith(".rotary_emb.inv_freq") or (is_gpt2 and gpt2.is_mask(name)):
            return None  # computed from the configuration, not learned
        if name == "lm_head.weight" and is_tied:
            return None  # the same as the embedding, from which vLLM takes it
        return gpt2.fold(name, tensor, config) if is_gpt2 else tensor

    total_bytes = rewrite(sources, target, dtype, change)
    own = gpt2.folded_config(config) if is_gpt2 else config
    stated = config.get("torch_dtype", config.get("dtype", "float32"))
    if dtype == "bfloat16" or (dtype == "float16" and stated == "float32"):
        own = {**own, "dtype" if "dtype" in config else "torch_dtype": dtype}
    write(target / "config.json", own)
    done = [f"{len(sources)} {sources[0].suffix} files written as safetensors, {total_bytes / 2**20:.1f} MiB"]
    if dtype != "keep":
        done.append(f"32-bit floats cast to {dtype}")
    if gpt2.reasons(config):
        done.append("the scale of attention folded into the query's part of c_attn, computed in float32")
    return done


def _is_tied(config: dict[str, Any]) -> bool:
    """Whether the head is the embedding: as the configuration says, or else as its class does."""
    if "tie_word_embeddings" in config:
        return bool(config["tie_word_embeddings"])
    from transformers import AutoConfig

    try:
        return bool(AutoConfig.for_model(config.get("model_type", "")).tie_word_embeddings)
    except ValueError:
        return False  # a class that Transformers does not know: its head is written, whatever it is


def _config(folder: Path) -> dict[str, Any]:
    """Raises: ConversionError."""
    try:
        config = read(folder / "config.json")
    except ValueError as error:
        raise ConversionError(f"{folder / 'config.json'} is no JSON: {error}") from error
    if not config:
        raise ConversionError(f"{folder} holds no model: it has no config.json")
    return config


def _has_pickles_only(folder: Path) -> bool:
    return any(folder.glob("pytorch_model*.bin")) and not any(folder.glob("*.safetensors"))


def _replace_tokenizer(origin: Path, target: Path) -> None:
    """Raises: ConversionError."""
    found = [origin / name for name in _TOKENIZER if (origin / name).is_file()]
    if not any(path.name in {"tokenizer.json", "tokenizer.model", "vocab.json"} for path in found):
        raise ConversionError(f"{origin} holds no tokenizer")
    for name in _TOKENIZER:
        (target / name).unlink(missing_ok=True)
    for path in found:
        shutil.copy(path, target)


def _link(path: Path, target: Path) -> None:
    """The same file under another name, or a copy where the disk is another one. Hub caches hold symbolic links."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copy(path, target)


def _note(source: Path, tokenizer: Path | None, done: list[str]) -> dict[str, Any]:
    files = [source] if source.is_file() else files_of(source)
    return {
        "done": done,
        "from": {
            "path": str(source.resolve()),
            "tokenizer": None if tokenizer is None else str(tokenizer.resolve()),
            "files": {path.name: path.stat().st_size for path in files},
        },
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="catalog.convert", description="Convert a checkpoint for vLLM.")
    parser.add_argument("source", type=Path, help="a folder in Hugging Face's layout, or a .gguf file")
    parser.add_argument("target", type=Path, help="the folder to make")
    parser.add_argument("--tokenizer", type=Path, help="a folder whose tokenizer takes the place of the source's own")
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="what 32-bit floats become (float16)")
    arguments = parser.parse_args()
    try:
        done = convert(arguments.source, arguments.target, arguments.tokenizer, arguments.dtype)
    except (ConversionError, OSError, ValueError) as error:
        print(f"error: {arguments.source} was not converted: {error}", file=sys.stderr)
        return 1
    for line in done:
        print(f"  {line}")
    return 0
