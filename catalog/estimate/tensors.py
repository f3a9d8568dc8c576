"""The tensors of a checkpoint: name, dtype and shape, read from safetensors headers or kept in a `tensors.json`.

Rule: headers only. No weight is read, and neither torch nor the package safetensors is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

_HEADER_LIMIT_BYTES = 100 * 2**20
"""What the safetensors format allows a header to be (safetensors, README, "Format")."""

_PLAIN = {1: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ", 2: "U16 I16 F16 BF16", 4: "U32 I32 F32"}
_PLAIN[8] = "U64 I64 F64 C64"

BLOCKS = {name: (1, size) for size, names in _PLAIN.items() for name in names.split()} | {
    "F4": (2, 1),
    "F6_E2M3": (4, 3),
    "F6_E3M2": (4, 3),
    # GGUF's own: ggml-org/llama.cpp, ggml/src/ggml-common.h.
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q8_1": (32, 36),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "Q8_K": (256, 292),
    "IQ1_S": (256, 50),
    "IQ1_M": (256, 56),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
    "MXFP4": (32, 17),
    "NVFP4": (64, 36),
}
"""By dtype: how many elements one block has, and in how many bytes."""


TENSORS_FILE = "tensors.json"
"""What is known of the tensors of weights that are not here, beside their config.json."""


class CheckpointError(Exception):
    """A file of a checkpoint is missing or wrong; the message names it and what is wrong."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(f"{path}: {what}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its dtype, in safetensors' or GGUF's spelling, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """What it takes as it is stored."""
        elements, size = BLOCKS[self.dtype]
        return -(-self.elements // elements) * size


def safetensors_header(path: Path) -> dict[str, Tensor]:
    """The tensors of the safetensors file at `path`.

    A file begins with 8 bytes, little-endian, that say how long the JSON behind them is (safetensors, README).

    Raises: CheckpointError.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if 2 <= length <= _HEADER_LIMIT_BYTES else b""
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    if len(text) < max(length, 2):
        raise CheckpointError(path, "is no safetensors file, or not all of one: its header is cut off")
    return parse_header(path, text)


def parse_header(path: Path, text: bytes) -> dict[str, Tensor]:
    """The tensors that the header `text` of a safetensors file names; `path` is what an error calls the file.

    Raises: CheckpointError.
    """
    try:
        told = {name: value for name, value in json.loads(text).items() if name != "__metadata__"}
        return {name: _tensor(path, name, value["dtype"], value["shape"]) for name, value in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(path, f"its safetensors header is not one: {error}") from error


def tensors_text(tensors: Mapping[str, Tensor] | None, total_bytes: int | None = None) -> str:
    """What goes into `tensors.json`: the tensors, or only how large all of them are together."""
    if tensors is None:
        return json.dumps({"total_bytes": total_bytes})
    return json.dumps({"tensors": {name: [one.dtype, list(one.shape)] for name, one in tensors.items()}})


def read_tensors(path: Path) -> tuple[dict[str, Tensor] | None, int | None]:
    """What a `tensors.json` says: the tensors, or None and how large they are together.

    Raises: CheckpointError.
    """
    told = read_json(path)
    try:
        if (tensors := told.get("tensors")) is not None:
            return {name: _tensor(path, name, dtype, shape) for name, (dtype, shape) in tensors.items()}, None
        return None, int(told["total_bytes"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = 'must be {"tensors": {NAME: [DTYPE, [DIM, ...]], ...}} or {"total_bytes": N}'
        raise CheckpointError(path, what) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`. Raises: CheckpointError."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(path, f"is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise CheckpointError(path, "must be a JSON object")
    return told


def _tensor(path: Path, name: str, dtype: str, shape: list[int]) -> Tensor:
    if dtype not in BLOCKS:
        raise CheckpointError(path, f"{name} has the dtype {dtype}, which is not known here")
    return Tensor(dtype, tuple(map(int, shape)))
