"""Lets tests have a process that has this folder on its PYTHONPATH see another clock and another host's memory.

The wall clock steps by the seconds in $FAKE_CLOCK/clock, which a machine's own must not; the product reads it by
time.time() only. What is available of the host's memory is, for the proxy, the bytes in $FAKE_CLOCK/host_available.
"""

import os
import sys
import time
from typing import Any

_folder = os.environ.get("FAKE_CLOCK", "/nonexistent")
_real_time = time.time


def _told(name: str) -> float | None:
    try:
        with open(f"{_folder}/{name}") as file:  # noqa: PTH123  # imports nothing
            return float(file.read())
    except (OSError, ValueError):
        return None


def _stepped_time() -> float:
    return _real_time() + (_told("clock") or 0.0)


def _see_another_host() -> None:
    import psutil

    real = psutil.virtual_memory

    def virtual_memory() -> Any:
        seen, told = real(), _told("host_available")
        return seen if told is None else seen._replace(available=int(told))

    psutil.virtual_memory = virtual_memory


if "FAKE_CLOCK" in os.environ:
    time.time = _stepped_time
    if sys.orig_argv[1:3] == ["-m", "proxy"] or "proxy" in sys.orig_argv[1:4]:
        _see_another_host()
