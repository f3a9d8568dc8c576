"""What is wrong with the files of a folder of weights: missing, cut off, or not what was downloaded.

Rule: sizes are always compared; hashes of small files too, since these are what people edit; those of all files where
it is asked for (some ten seconds for each 10 GiB).
"""

from pathlib import Path

from catalog.download.manifest import fault_of, read_manifest
from catalog.estimate.tensors import CheckpointError, read_json, safetensors_header

HASHED_BYTES = 64 * 2**20
"""Files up to this size are hashed in any case: all but the weights."""

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def wrong_files(folder: Path, *, with_hashes: bool, needs_weights: bool = True) -> list[str]:
    """What is wrong with the files of `folder`, which has a config.json, in words."""
    wrong, known = against_manifest(folder, with_hashes=with_hashes)
    for index in _INDEXES:
        if not (folder / index).is_file():
            continue
        try:
            names = {str(name) for name in read_json(folder / index)["weight_map"].values()}
        except (CheckpointError, KeyError, AttributeError) as error:
            wrong.append(f"{index} cannot be read: {error}")
            continue
        missing = [name for name in sorted(names - known) if not (folder / name).is_file()]
        wrong += [f"{name} is missing ({index} names it)" for name in missing]
        break  # vLLM reads the first kind that is there
    present = [path for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))]
    if needs_weights and not present and not wrong:
        wrong.append(f"there are no weights in {folder}")
    return wrong + [what for path in present if path.name not in known and (what := _cut_off(path)) is not None]


def against_manifest(folder: Path, *, with_hashes: bool) -> tuple[list[str], set[str]]:
    """What differs from what was downloaded, and the files that are accounted for."""
    manifest = read_manifest(folder)
    if manifest is None:
        return [], set()
    wrong = []
    for record in manifest.files:
        hashed = with_hashes or record.size_bytes <= HASHED_BYTES
        if (what := fault_of(folder / record.path, record, with_hash=hashed)) is not None:
            wrong.append(what)
    return wrong, {record.path for record in manifest.files}


def _cut_off(path: Path) -> str | None:
    """Whether a safetensors file ends before its last tensor does: 8 bytes, the header, the tensors (its README)."""
    if path.suffix != ".safetensors":
        return None
    try:
        tensors = safetensors_header(path)
    except CheckpointError as error:
        return f"{path.name} {error.what}"
    with path.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
    size, whole = path.stat().st_size, begin + sum(tensor.bytes for tensor in tensors.values())
    return f"{path.name} has {size} bytes and should have {whole}: it is cut off" if size < whole else None
