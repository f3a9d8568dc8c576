"""What the tests of downloads share: repositories of random content, models that come from them, a quiet progress."""

import io
import json
import random
import struct
from pathlib import Path
from typing import Any

from catalog.download.hub import Hub, Origin
from catalog.download.manifest import fault_of, read_manifest
from catalog.download.progress import Progress
from catalog.spec import Gib, ModelSpec, Source

SHARD = "model-0000{}-of-00003.safetensors"


def safetensors(path: Path, data_bytes: int, tensor: str = "w", *, seed: int = 0, padding: int = 0) -> Path:
    """A safetensors file with one F16 tensor of random content; `padding` makes its header so much longer."""
    entry = {"dtype": "F16", "shape": [data_bytes // 2], "data_offsets": [0, data_bytes]}
    header = json.dumps({"__metadata__": {"x": "y" * padding}, tensor: entry}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(data_bytes))  # noqa: S311
    return path


def repository(folder: Path, shard_bytes: int = 3000) -> Path:
    """A repository of three shards with an index, a tokenizer and what nobody needs. Returns its folder."""
    for number in (1, 2, 3):
        safetensors(folder / SHARD.format(number), shard_bytes, f"w{number}", seed=number)
    index = {"weight_map": {f"w{number}": SHARD.format(number) for number in (1, 2, 3)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text('{"of": "the weights"}')
    (folder / "README.md").write_text("what nobody needs")
    (folder / "pytorch_model.bin").write_bytes(b"what nobody needs")
    return folder


WANTED = {
    "config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    *(SHARD.format(number) for number in (1, 2, 3)),
}
"""Those files of `repository` that vLLM reads."""


def model(root: Path, name: str = "m", source: Source | None = None, **more: Any) -> ModelSpec:
    """A model that comes from the repository o/m."""
    weights = str(root / "models" / name)
    fixed: dict[str, Any] = {"name": name, "port": 8101, "memory_bytes": Gib(2), "max_model_len": 9, "weights": weights}
    return ModelSpec(**{**fixed, "source": source or Source(repo="o/m"), **more})


def client(url: str, waits: list[float] | None = None, said: list[str] | None = None, **more: Any) -> Origin:
    """A hub's client that does not wait, but notes how long it would have."""
    waits, said = [] if waits is None else waits, [] if said is None else said
    return Hub(url, wait=waits.append, say=said.append, **more)


def quiet() -> tuple[Progress, io.StringIO, io.StringIO]:
    """A progress, and what it writes to standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    return Progress(out, err, is_live=False), out, err


def files_below(folder: Path) -> dict[str, bytes]:
    """All files below `folder` with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def faults_of(folder: Path, *, with_hashes: bool = True) -> list[str]:
    """What is wrong with the files of a downloaded folder, in words; nothing is known of one without a manifest."""
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    found = (fault_of(folder / record.path, record, with_hash=with_hashes) for record in manifest.files)
    return [fault for fault in found if fault is not None]
