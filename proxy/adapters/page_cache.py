"""Reads weights into the page cache before they are needed, as far as the host has memory for them.

They are read, not only asked for: of one posix_fadvise(2) with POSIX_FADV_WILLNEED the kernel takes a few MiB (the
device's read_ahead_kb).
"""

import contextlib
import logging
import os
import threading
from pathlib import Path

from proxy.adapters.processes import host_available_bytes

log = logging.getLogger(__name__)

PREFERRED = ".safetensors"
"""Where there are such, vLLM reads no others: they are the same weights once more."""
WEIGHTS = (PREFERRED, ".bin", ".pt", ".pth", ".gguf")
MOST_OF_AVAILABLE = 0.5
"""The page cache is given up when others want memory; reading more than this would push out what is in use."""
CHUNK_BYTES = 4 * 2**20
LOOKS_EVERY_BYTES = 256 * 2**20
"""After so much it is looked again at what is available."""


def read_ahead(weights: Path, over: threading.Event) -> int:
    """Read what `weights` has, a folder or one file, file by file; returns the bytes read.

    It ends early where they are more than half of the memory that is available, and as soon as `over` is set. What
    cannot be read is left to the start, which says why.
    """
    read_bytes, most_bytes, looks_at_bytes = 0, _most_bytes(), LOOKS_EVERY_BYTES
    buffer = memoryview(bytearray(CHUNK_BYTES))
    for path in files_of(weights):
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            while not over.is_set():
                if read_bytes >= looks_at_bytes:
                    most_bytes, looks_at_bytes = _most_bytes(), read_bytes + LOOKS_EVERY_BYTES
                room_bytes = most_bytes - read_bytes
                if room_bytes <= 0:
                    log.info("%s: %d bytes read ahead, for more there is no memory", weights.name, read_bytes)
                    return read_bytes
                got = os.readv(file.fileno(), [buffer[:room_bytes]])
                if not got:
                    break
                read_bytes += got
    return read_bytes


def _most_bytes() -> int:
    """What is read counts as available still, so that this falls only by what others take."""
    return int(MOST_OF_AVAILABLE * host_available_bytes())


def files_of(weights: Path) -> list[Path]:
    """The files that vLLM reads of `weights`, a folder or one file, in the order of their names."""
    if weights.is_file():
        return [weights]
    found: list[Path] = []
    with contextlib.suppress(OSError):
        found = sorted(path for path in weights.iterdir() if path.suffix in WEIGHTS)
    return [path for path in found if path.suffix == PREFERRED] or found
