"""Has weights read into the page cache before they are needed, where the host has memory for them."""

import contextlib
import logging
import os
from pathlib import Path

from proxy.adapters.processes import host_available_bytes

log = logging.getLogger(__name__)

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
MOST_OF_AVAILABLE = 0.5
"""The page cache is given up when others want memory; reading more than this would push out what is in use."""


def read_ahead(folder: Path) -> int:
    """Ask the kernel to read the weights in `folder`; returns the bytes it was asked for, 0 where memory is short.

    It returns before they are read (posix_fadvise(2), POSIX_FADV_WILLNEED).
    """
    sizes: dict[Path, int] = {}
    with contextlib.suppress(OSError):
        sizes = {path: path.stat().st_size for path in sorted(folder.iterdir()) if path.suffix in WEIGHTS}
    wanted_bytes, available_bytes = sum(sizes.values()), host_available_bytes()
    if wanted_bytes > MOST_OF_AVAILABLE * available_bytes:
        log.info("%s: not read ahead, %d bytes of %d available", folder.name, wanted_bytes, available_bytes)
        return 0
    asked_bytes = 0
    for path, size in sizes.items():
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_WILLNEED)
            asked_bytes += size
    return asked_bytes
