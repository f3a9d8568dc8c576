"""Rewrites the weights of a checkpoint as safetensors: from pickles or safetensors, in one file or in shards.

Rule: one shard of the target is in memory at a time, however large the source is. Pickles are read with
`weights_only`, so that no code in them runs; only files that hold weights are opened.
"""

import json
import pickle  # only for the name of its error
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHARD_BYTES = 2 * 2**30
FLOATS = ("float32", "float64")
"""What is cast to the dtype that is wanted. 16-bit floats stay: bfloat16 in float16 could overflow."""


class WeightsUnusable(Exception):
    """The weights cannot be converted; the message says which file or tensor, and why."""


def files_of(folder: Path) -> list[Path]:
    """The files that hold the weights, in order: safetensors where there are any, pickles otherwise.

    Raises: WeightsUnusable where there are none, or not all that the index names.
    """
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        if index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            if outside := [name for name in names if Path(name).name != name]:
                raise WeightsUnusable(f"{index.name} names a file outside its folder: {outside[0]}")
            if missing := [name for name in names if not (folder / name).is_file()]:
                raise WeightsUnusable(f"{folder} is incomplete: {', '.join(missing)} of {index.name} is not there")
            return [folder / name for name in names]
        if found := sorted(folder.glob(f"{stem}*.{suffix}")):
            return found
    raise WeightsUnusable(f"{folder} holds no weights: neither model*.safetensors nor pytorch_model*.bin")


def tensors_of(path: Path) -> Iterator[tuple[str, Any]]:
    """The tensors of one file by name, read when they are used.

    Raises: WeightsUnusable.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors import safe_open  # type: ignore[import-not-found, unused-ignore]

        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                yield name, file.get_tensor(name)
        return
    try:
        # Files from before PyTorch 1.6 are no zip archives: they cannot be mapped and are read whole.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # PyTorch's own message goes on to say how the code can be run all the same.
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {named[1]}" if named else str(error).partition(".")[0]
        raise WeightsUnusable(f"{path.name} is no pickle of plain tensors ({what}): nothing in it was run") from error
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsUnusable(f"{path.name} cannot be read as PyTorch's weights: {error}") from error
    for name in list(state):
        tensor = state.pop(name)
        if not isinstance(tensor, torch.Tensor):
            raise WeightsUnusable(f"{path.name}: {name} is a {type(tensor).__name__} and no tensor")
        yield name, tensor


def rewrite(
    sources: list[Path],
    target: Path,
    dtype: str,
    change: Callable[[str, Any], Any],
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write the tensors of `sources` into folder `target`, each as `change(name, tensor)` gives it (None: left out).

    32-bit floats are cast to `dtype` ("float16" or "bfloat16"; "keep" casts none). Returns the bytes of all tensors.

    Raises: WeightsUnusable, also where a number is too large for `dtype`.
    """
    from safetensors.torch import save_file  # type: ignore[import-not-found, unused-ignore]

    shards: list[list[str]] = []
    shard: dict[str, Any] = {}
    held_bytes = total_bytes = 0

    def finish() -> None:
        nonlocal shard, held_bytes
        path = target / f"shard-{len(shards)}"
        save_file(shard, path, metadata={"format": "pt"})
        path.chmod(0o644)  # safetensors makes it for its owner only, and engines may run as somebody else
        shards.append(sorted(shard))
        shard, held_bytes = {}, 0

    for source in sources:
        for name, tensor in tensors_of(source):
            changed = change(name, tensor)
            if changed is None:
                continue
            # A copy: tensors that share their storage, as tied ones do in pickles, must not in safetensors.
            shard[name] = _cast(name, changed, dtype).clone().contiguous()
            held_bytes += shard[name].nbytes
            total_bytes += shard[name].nbytes
            if held_bytes >= shard_bytes:
                finish()
    if shard:
        finish()
    _name(target, shards, total_bytes)
    return total_bytes


def _name(target: Path, shards: list[list[str]], total_bytes: int) -> None:
    """Give the shards the names by which they are found, and write the index where there are several."""
    if len(shards) == 1:
        (target / "shard-0").rename(target / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (target / f"shard-{number}").rename(target / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _cast(name: str, tensor: Any, dtype: str) -> Any:
    """`tensor` in `dtype` if it is one of `FLOATS`. Raises: WeightsUnusable."""
    import torch

    if dtype == "keep" or str(tensor.dtype).removeprefix("torch.") not in FLOATS:
        return tensor
    cast = tensor.to(getattr(torch, dtype))
    if not torch.isfinite(cast).all() and torch.isfinite(tensor).all():
        largest = tensor.abs().max().item()
        raise WeightsUnusable(f"{name} holds {largest:.3g}, too large for {dtype}: convert with --dtype bfloat16")
    return cast
