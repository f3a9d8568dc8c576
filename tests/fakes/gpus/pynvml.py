"""A stand-in for NVML, put before the real one on PYTHONPATH: the real adapter runs against it.

Its state is a folder, named by FAKE_NVML, that every call reads anew:

    gpus.json      [{"uuid": "GPU-a", "total": BYTES, "mig": [{"uuid": "MIG-a", "total": BYTES}]}, ...],
                   each with "capability": [8, 6] or another
    PID.json       {"GPU-a": BYTES, ...}: what a process holds; nothing once it is dead, unless it has "sticky_until"
                   (time.time()), until when its memory is used although no process is listed for it
    hide_pids      if it exists, processes are listed under numbers that mean nothing here, as in a container
    broken         if it exists, every call fails
"""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

NVML_DEVICE_MIG_ENABLE = 1
HIDDEN_OFFSET = 1_000_000
DRIVER_BYTES = 2**20


class NVMLError(Exception):
    pass


class NVMLError_Uninitialized(NVMLError):  # noqa: N801  # as NVML's binding names it
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801
    pass


class NVMLError_NotFound(NVMLError):  # noqa: N801
    pass


def nvmlInit() -> None:
    _folder()


def nvmlDeviceGetCount() -> int:
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:
    return _gpus()[index]


def nvmlDeviceGetUUID(handle: dict[str, Any]) -> str:
    return str(handle["uuid"])


def nvmlDeviceGetCudaComputeCapability(handle: dict[str, Any]) -> list[int]:
    capability: list[int] = handle.get("capability", [8, 6])
    return capability


def nvmlDeviceGetMigMode(handle: dict[str, Any]) -> tuple[int, int]:
    if "mig" not in handle:
        raise NVMLError_NotSupported("Not Supported")
    return (NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE)


def nvmlDeviceGetMaxMigDeviceCount(handle: dict[str, Any]) -> int:
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: dict[str, Any], index: int) -> dict[str, Any]:
    if index >= len(handle["mig"]):
        raise NVMLError_NotFound("Not Found")
    instance: dict[str, Any] = handle["mig"][index]
    return instance


def nvmlDeviceGetMemoryInfo(handle: dict[str, Any]) -> SimpleNamespace:
    used = DRIVER_BYTES + sum(held for _, held, _ in _holders(handle["uuid"]))
    return SimpleNamespace(total=handle["total"], used=used, free=handle["total"] - used)


def nvmlDeviceGetComputeRunningProcesses(handle: dict[str, Any]) -> list[SimpleNamespace]:
    offset = HIDDEN_OFFSET if (_folder() / "hide_pids").exists() else 0
    return [
        SimpleNamespace(pid=pid + offset, usedGpuMemory=held)
        for pid, held, is_alive in _holders(handle["uuid"])
        if is_alive
    ]


def nvmlDeviceGetGraphicsRunningProcesses(handle: dict[str, Any]) -> list[SimpleNamespace]:
    return []


def _folder() -> Path:
    folder = Path(os.environ.get("FAKE_NVML", "/nonexistent"))
    if not folder.is_dir() or (folder / "broken").exists():
        raise NVMLError("Driver Not Loaded")
    return folder


def _gpus() -> list[dict[str, Any]]:
    gpus: list[dict[str, Any]] = json.loads((_folder() / "gpus.json").read_text())
    return gpus


def _holders(uuid: str) -> list[tuple[int, int, bool]]:
    """Pid, bytes and whether it is alive, of those that hold memory on a device."""
    found = []
    for path in _folder().glob("[0-9]*.json"):
        try:
            said = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # just gone
        pid = int(path.stem)
        is_alive = _is_alive(pid)
        if uuid in said and (is_alive or time.time() < said.get("sticky_until", 0)):
            found.append((pid, int(said[uuid]), is_alive))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
