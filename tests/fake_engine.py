"""The inside of the stand-in for vLLM: its EngineCore, its memory on GPUs, its sleep. Standard library only."""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

GIB = 2**30
DRIVER_BYTES = 2**20
CORE = Path(__file__).with_name("fake_engine_core.py")


def note(what: str) -> None:
    if path := os.environ.get("FAKE_LOG"):
        with Path(path).open("a") as log:
            log.write(what + "\n")


class EngineDead(Exception):
    """The EngineCore is gone."""


class Engine:
    """The fake's inside: its EngineCore, its memory on GPUs, its sleep."""

    def __init__(self, flags: Any) -> None:
        self.flags = flags
        self.name = str(flags.served_model_name[0])
        self.level = 0
        self.is_woken_in_part = False
        self.has_weights = True
        self.is_wedged = False
        self.changing = 0
        self.awake = threading.Event()
        self.awake.set()
        self.running = 0
        self.tokens = 0
        self._lock = threading.Lock()
        self.core, self._channel = self._start_core()
        self._answers = self._channel.makefile("r")

    def control(self, key: str, default: Any = None) -> Any:
        """What the fake is told to do now."""
        try:
            told = json.loads((Path(os.environ["FAKE_CONTROL"]) / f"{self.name}.json").read_text())
            if key in told:
                return told[key]
        except (KeyError, OSError, ValueError):
            pass
        return os.environ.get("FAKE_" + key.upper(), default)

    def _start_core(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.dup2(theirs.fileno(), 3)
            argv = ["VLLM::EngineCore", "-S", "-E", str(CORE), str(self.control("hold_mib", 8))]
            os.execv(sys.executable, argv)  # noqa: S606  # itself, under another name
        theirs.close()
        return pid, ours

    def ask(self, what: dict[str, Any]) -> None:
        """One round through the EngineCore. Raises: EngineDead."""
        try:
            with self._lock:
                self._channel.sendall(json.dumps(what).encode() + b"\n")
                if not self._answers.readline():
                    raise EngineDead
        except OSError as error:
            raise EngineDead from error

    def token(self) -> None:
        self.ask({})
        self.tokens += 1

    # --- memory on GPUs -------------------------------------------------------------------------------------------

    @property
    def gpus(self) -> dict[str, int]:
        """The whole memory of each GPU that it sees, by UUID."""
        if not (folder := os.environ.get("FAKE_NVML")):
            return {}
        listed = json.loads((Path(folder) / "gpus.json").read_text())
        flat = [one for gpu in listed for one in gpu.get("mig", [gpu])]
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        return {one["uuid"]: one["total"] for one in flat if one["uuid"] in seen}

    def used_by_others(self, uuid: str) -> int:
        folder = Path(os.environ["FAKE_NVML"])
        used = DRIVER_BYTES
        for path in folder.glob("[0-9]*.json"):
            try:
                said = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            is_there = is_running(int(path.stem)) or time.time() < said.get("sticky_until", 0)
            if int(path.stem) != self.core and is_there:
                used += said.get(uuid, 0)
        return used

    def hold(self, awake: bool, peak: bool = False) -> None:
        sticky_s = float(self.control("sticky_s", 0))
        amounts: dict[str, float] = {"sticky_until": time.time() + sticky_s} if sticky_s else {}
        for uuid, total in self.gpus.items():
            own = int(self.control("gpu_mib", self.flags.gpu_memory_utilization * total / 2**20)) * 2**20
            kept = int(self.control("asleep_mib", own / 10 / 2**20)) * 2**20
            amounts[uuid] = own if awake else kept
            if peak and self.control("peak_mib"):
                amounts[uuid] = int(self.control("peak_mib")) * 2**20
        if self.gpus:
            self.ask({"hold": amounts})

    def check_free(self) -> None:
        """vLLM's start-up check, and its words."""
        for uuid, total in self.gpus.items():
            free, wanted = total - self.used_by_others(uuid), self.flags.gpu_memory_utilization * total
            if free < wanted:
                raise RuntimeError(
                    f"ValueError: Free memory on device cuda:0 ({free / GIB:.2f}/{total / GIB:.2f} GiB) on startup is "
                    f"less than desired GPU memory utilization ({self.flags.gpu_memory_utilization}, "
                    f"{wanted / GIB:.2f} GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
                    "processes."
                )

    def say_memory(self) -> None:
        """What vLLM prints where it measured its KV cache itself (gpu_worker.py, compile_or_warm_up_model)."""
        if self.flags.kv_cache_memory_bytes is not None or not self.gpus:
            return
        total = min(self.gpus.values())
        wanted = self.flags.gpu_memory_utilization * total / GIB
        kv = wanted * 0.3
        fits = int((kv - 150 / 1024) * GIB)
        print(
            f"(EngineCore pid={self.core}) INFO [gpu_worker.py:1034] Free memory on device "
            f"({total / GIB:.2f}/{total / GIB:.2f} GiB) on startup. Desired GPU memory utilization is "
            f"({self.flags.gpu_memory_utilization}, {wanted:.2f} GiB). Actual usage is {wanted * 0.5:.2f} GiB for "
            f"consumed memory (weights + non-torch), {wanted * 0.15:.2f} GiB for peak activation, and "
            f"{wanted * 0.05:.2f} GiB for CUDAGraph memory. Replace gpu_memory_utilization config with "
            f"`--kv-cache-memory={fits}` ({fits / GIB:.2f} GiB) to fit into requested memory, or "
            f"`--kv-cache-memory={fits}` ({fits / GIB:.2f} GiB) to fully utilize gpu memory. "
            f"Current kv cache memory in use is {kv:.2f} GiB.",
            flush=True,
        )

    # --- sleep ----------------------------------------------------------------------------------------------------

    def sleep(self, level: int, mode: str) -> tuple[int, str]:
        how = self.control("sleep", "ok")
        if how == "hang":
            time.sleep(3600)
        time.sleep(float(self.control("sleep_s", 0)))
        if how == "fail":
            return 500, "Call to sleep method failed: CUDA Error: invalid argument"
        while mode == "wait" and self.running:
            time.sleep(0.01)
        self.ask({})
        if self.awake.is_set():  # a second sleep is a no-op for the engine
            self.awake.clear()
            self.has_weights = level != 2
            if self.flags.enable_sleep_mode and how != "keep":
                self.hold(awake=False)
        self.level = level
        note(f"slept {self.name} {level}")
        return 200, ""

    def wake(self, tags: list[str]) -> tuple[int, str]:
        how = self.control("wake", "ok")
        if how == "hang":
            time.sleep(3600)
        time.sleep(float(self.control("wake_s", 0)))
        self.ask({})
        if not tags or "weights" in tags:
            for uuid, total in self.gpus.items() if self.flags.enable_sleep_mode else ():
                own = int(self.control("gpu_mib", self.flags.gpu_memory_utilization * total / 2**20)) * 2**20
                self.is_wedged = self.is_wedged or total - self.used_by_others(uuid) < own
            if self.is_wedged or how == "fail":
                self.is_wedged = True  # every later wake fails, too
                return 500, "Call to wake_up method failed: CUDA Error: out of memory at cumem_allocator.cpp:119"
            self.hold(awake=True)
        if how == "garbage":
            self.has_weights = False
        if not tags or (self.is_woken_in_part and "kv_cache" in tags):
            self.level, self.is_woken_in_part = 0, False
            self.awake.set()
            note(f"woke {self.name}")
        else:
            self.is_woken_in_part = True
        return 200, ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
