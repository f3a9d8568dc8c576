"""What a model's source comes to at one commit: the wanted files of its repository, the small ones beforehand.

The small files lie in `var/state/checkpoints/MODEL` before any weights: `config.json`, the tokenizer's configuration,
`tensors.json` (each tensor's type and shape, from the safetensors' headers, read by ranges), `files.json` (`Snapshot`).
"""

import contextlib
import struct
from pathlib import Path
from typing import Any

import msgspec

from catalog.download.choice import SAFETENSORS_INDEX, choose, tokenizer_of, weights_of, without_copies
from catalog.download.fetch import FetchError
from catalog.download.hub import Listing, Origin
from catalog.download.manifest import FileRecord, write_whole
from catalog.estimate.tensors import TENSORS_FILE, Tensor, tensors_text
from catalog.spec import ModelSpec, Source

SMALL_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", SAFETENSORS_INDEX)
FILES_FILE = "files.json"
_FIRST_BYTES = 100_000
"""What is read of a safetensors file at first: its header is shorter in 97% of the hub's models (huggingface_hub's)."""
_MOST_HEADER_BYTES = 25_000_000
"""The most that huggingface_hub takes for a header, too."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One file to download: `origin` (0 the weights' repository, 1 the tokenizer's), path there, and `record` here."""

    origin: int
    path: str
    record: FileRecord


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that is wanted for one model."""

    repo: str
    revision: str
    commit: str
    path: str
    tokenizer: str | None
    tokenizer_commit: str | None
    files: tuple[Wanted, ...]

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(wanted.record.size_bytes for wanted in self.files)

    @property
    def weights_bytes(self) -> int:
        """The size of the weights."""
        names = set(weights_of(wanted.record.path for wanted in self.files))
        return sum(wanted.record.size_bytes for wanted in self.files if wanted.record.path in names)

    @property
    def is_pickled(self) -> bool:
        """Whether its weights are no safetensors, so that vLLM's converter must be asked."""
        names = weights_of(wanted.record.path for wanted in self.files)
        return not any(name.endswith(".safetensors") for name in names)


class Seen(msgspec.Struct, frozen=True):
    """A snapshot, and the listings that its files are fetched by, in the order of `Wanted.origin`."""

    snapshot: Snapshot
    listings: tuple[Listing, ...]


def look(spec: ModelSpec, source: Source, origin: Origin) -> Seen:
    """Find out what is wanted for `spec`, whose `source` is a repository. Raises: FetchError."""
    if source.repo is None:
        raise FetchError(f"{spec.name}: its source is no repository")
    listing = origin.listing(source.repo, source.revision)
    serves_gguf = spec.is_gguf
    chosen = _chosen(spec, source, listing, origin)
    wanted = {name: (0, path, listing) for path, name in chosen.items()}
    listings = [listing]
    if source.tokenizer_repo is not None and not listing.is_chosen:
        tokenizer = origin.listing(source.tokenizer_repo, source.tokenizer_revision)
        its_own = tokenizer_of(tokenizer.files)
        if serves_gguf and "config.json" in tokenizer.files:
            its_own.append("config.json")  # vLLM's plugin reads it beside the file
        if not its_own:
            raise FetchError(f"{spec.name}: {source.tokenizer_repo} holds no tokenizer: check source.tokenizer_repo")
        for name in tokenizer_of(wanted):
            del wanted[name]  # two tokenizers in one folder would be read half and half
        wanted |= {path: (1, path, tokenizer) for path in its_own}
        listings.append(tokenizer)
    files = [
        Wanted(origin=number, path=path, record=msgspec.structs.replace(of.files[path], path=name))
        for name, (number, path, of) in sorted(wanted.items())
    ]
    snapshot = Snapshot(
        repo=source.repo,
        revision=source.revision,
        commit=listing.commit,
        path=source.path,
        tokenizer=source.tokenizer_repo,
        tokenizer_commit=listings[1].commit if len(listings) > 1 else None,
        files=tuple(files),
    )
    return Seen(snapshot, tuple(listings))


def _chosen(spec: ModelSpec, source: Source, listing: Listing, origin: Origin) -> dict[str, str]:
    """The wanted files of the weights' repository: path there, name here. Raises: FetchError if weights are missing."""
    if listing.is_chosen:
        return {path: path for path in listing.files}
    chosen = choose(listing.files, source, with_code=bool(spec.vllm_args.get("trust-remote-code")))
    index = next((path for path, name in chosen.items() if name == SAFETENSORS_INDEX), None)
    if index is not None and not source.files:
        kept = without_copies(list(chosen.values()), _indexed(origin.read(listing, index), f"{source.repo}/{index}"))
        chosen = {path: name for path, name in chosen.items() if name in kept}
    where = f"{source.repo}{' below ' + source.path if source.path else ''}"
    if not weights_of(chosen.values()):
        what = f"{spec.name}: {where} holds no weights that vLLM reads (*.safetensors, *.bin, a .gguf as source.path)"
        raise FetchError(f"{what}; it has: {', '.join(sorted(listing.files)[:12]) or 'nothing'}")
    if "config.json" not in chosen.values() and not source.path.endswith(".gguf"):
        raise FetchError(f"{spec.name}: {where} is no model that vLLM loads: it has no config.json")
    if spec.is_gguf:  # served as it is, by the name that the catalog gives it
        chosen = {path: Path(spec.weights).name if name.endswith(".gguf") else name for path, name in chosen.items()}
        beside = [*tokenizer_of(listing.files), *(path for path in listing.files if path == "config.json")]
        chosen |= {path: path for path in beside}
    return chosen


def _indexed(content: bytes, where: str) -> set[str]:
    """The files that an index of safetensors names. Raises: FetchError."""
    try:
        found = msgspec.json.decode(content, type=_Index).weight_map
    except msgspec.DecodeError as error:
        raise FetchError(f"{where} is no index of safetensors: {error}") from error
    return set(found.values())


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def keep_small_files(seen: Seen, origin: Origin, folder: Path) -> None:
    """Bring the small files of `seen` to `folder`, `files.json` last. Raises: FetchError."""
    for name in (*SMALL_FILES, TENSORS_FILE, FILES_FILE):
        (folder / name).unlink(missing_ok=True)  # of another snapshot
    tensors: dict[str, Tensor] = {}
    for wanted in seen.snapshot.files:
        listing = seen.listings[wanted.origin]
        if wanted.record.path in SMALL_FILES:
            write_whole(folder / wanted.record.path, origin.read(listing, wanted.path))
        elif wanted.record.path.endswith(".safetensors") and "/" not in wanted.record.path:
            tensors |= _header(origin, listing, wanted.path)
    write_whole(folder / TENSORS_FILE, tensors_text(tensors or None, seen.snapshot.weights_bytes).encode())
    write_whole(folder / FILES_FILE, msgspec.json.format(msgspec.json.encode(seen.snapshot), indent=1))


def config_of(seen: Seen, origin: Origin) -> dict[str, Any]:
    """Its config.json; nothing where that is none: whoever converts it says so. Raises: FetchError."""
    for wanted in seen.snapshot.files:
        if wanted.record.path == "config.json":
            with contextlib.suppress(msgspec.DecodeError):
                content = origin.read(seen.listings[wanted.origin], wanted.path)
                return msgspec.json.decode(content, type=dict[str, Any])
    return {}


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]


def _header(origin: Origin, listing: Listing, path: str) -> dict[str, Tensor]:
    """The tensors of one safetensors file, without its data: 8 bytes of length, then that much JSON.

    Raises: FetchError. Source: the format's description in the README of huggingface/safetensors.
    """
    begin = origin.read(listing, path, 0, _FIRST_BYTES)
    where = f"{listing.repo}/{path}"
    try:
        [length] = struct.unpack("<Q", begin[:8])
        if not 2 <= length <= min(_MOST_HEADER_BYTES, listing.files[path].size_bytes - 8):
            raise ValueError(f"its header would have {length} bytes")
        header = begin[8 : 8 + length]
        if len(header) < length:
            header += origin.read(listing, path, len(begin), length - len(header))
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(entry, type=_Tensor) for name, entry in entries.items()}
    except (struct.error, ValueError) as error:
        raise FetchError(f"{where} is no safetensors file: {error}") from error
    return {name: Tensor(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
