"""Has vLLM fork its engine and its workers from this process, which has imported what they need, instead of spawning.

A spawned process is a new Python that imports vLLM once more, twice over; a forked one goes on from here. vLLM forks by
itself where VLLM_WORKER_MULTIPROC_METHOD says so and CUDA is not initialised, and its executor is written for both; but
its CPU platform sets `spawn` whatever that says (vLLM 0.32, `platforms/cpu.py` check_and_update_config). All who ask
which it is ask `_maybe_force_spawn` first (`utils/system_utils.py`): that is the one thing that is replaced here.

Which versions that was tried with says `proxy/adapters/vllm_version.py`; with any other nothing of this is done.

Rule: a fork copies one thread only. Where another one runs that is not known to be harmless, it is a spawn.
"""

import importlib.metadata
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType

METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
FORK, SPAWN = "fork", "spawn"

CPU_VARIABLES = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1"}
"""What vLLM's CPU platform sets for the processes that it spawns, and torch reads as it is imported."""

LIBRARIES = (
    ("libtcmalloc", "vllm", "vllm/libs"),
    ("libgomp", "torch", "torch.libs"),
    ("libgomp", "torch", "torch/lib"),
)
"""What is preloaded, by which distribution, in which of its folders."""

TASKS = Path("/proc/self/task")
FDS = Path("/proc/self/fd")
SETTLES_S = 0.5


def is_cpu_build() -> bool:
    """Whether torch is built for the CPU only."""
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def preloads() -> str:
    """LD_PRELOAD as vLLM's CPU platform sets it for what it spawns: an allocator, and the OpenMP that torch has.

    Source: vLLM 0.32, `platforms/cpu.py` check_and_update_config; without them its threads share a core, or allocate
    slowly (vllm-project/vllm#27369).
    """
    before = os.environ.get("LD_PRELOAD", "")
    found: dict[str, str] = {}
    for name, distribution, folder in LIBRARIES:
        files = sorted(
            Path(str(importlib.metadata.distribution(distribution).locate_file(folder))).glob(f"{name}*.so*")
        )
        if files and name not in before:
            found.setdefault(name, str(files[0]))
    return ":".join(filter(None, (*found.values(), before)))


def install() -> None:
    """From now on vLLM forks where that is safe. It must have been imported."""
    os.environ[METHOD] = FORK
    system_utils = sys.modules["vllm.utils.system_utils"]
    by_vllm = vars(system_utils)["_maybe_force_spawn"]

    def choose() -> None:
        """Set the method, as vLLM is about to read it: its own reasons to spawn count, the CPU platform's does not."""
        os.environ[METHOD] = FORK
        by_vllm()
        if os.environ[METHOD] == FORK and (others := other_threads()):
            print(f"engine: spawned, since other threads run: {', '.join(others)}", file=sys.stderr, flush=True)
            os.environ[METHOD] = SPAWN
        # Before the first fork, as before a spawn: one that a child began would be killed with it at the end, and what
        # it keeps account of, shared memory and semaphores, would stay for ever.
        resource_tracker.ensure_running()

    for module in (system_utils, sys.modules.get("vllm.v1.executor.multiproc_executor")):
        if isinstance(module, ModuleType):
            vars(module)["_maybe_force_spawn"] = choose
    os.register_at_fork(after_in_child=leave_listening)


def other_threads() -> list[str]:
    """The names of the threads beside this one that may hold a lock. One that has just begun is given a moment."""
    deadline = time.monotonic() + SETTLES_S
    while (others := [name for name, is_idle in threads() if not is_idle]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return others


def threads() -> Iterator[tuple[str, bool]]:
    """All others, Python's and those of libraries: their names, and whether they hold no lock.

    That are those of ZeroMQ which sleep in epoll: it takes its locks around what it does there, not around the wait,
    and what is forked makes sockets of its own (vLLM forks beside them, too, where it forks by itself).
    """
    python = {thread.native_id: thread.name for thread in threading.enumerate()}
    for task in TASKS.iterdir():
        number = int(task.name)
        if number == threading.get_native_id():
            continue
        name = python.get(number) or text_of(task / "comm")
        waits_in = text_of(task / "wchan")
        if task.exists():  # else it has ended
            yield name, number not in python and name.startswith("ZMQbg/") and "epoll" in waits_in


def text_of(path: Path) -> str:
    """Empty where there is no such file, or none that can be read: a kernel may have no wchan."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def touched() -> list[str]:
    """What was done with CUDA in this process already, in words: what is forked from it could not use that."""
    torch = sys.modules.get("torch")
    found = ["CUDA is initialized"] if torch is not None and torch.cuda.is_initialized() else []
    for path in FDS.iterdir():
        try:
            opened = str(path.readlink())
        except FileNotFoundError:
            continue  # that of the folder itself
        if opened.startswith("/dev/nvidia"):
            found.append(f"{opened} is open")
    return found


def leave_listening() -> None:
    """In the child: the server's port is its parent's. Else it would stay open, and answer nobody, if that is killed.

    The number stays taken, since Python's objects of the parent would close whatever has it next.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in [int(path.name) for path in FDS.iterdir()]:
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode) and is_port(fd):
                os.dup2(nothing, fd, inheritable=False)
        except OSError:
            continue
    os.close(nothing)


def is_port(fd: int) -> bool:
    """Whether the socket has a port of its own and nobody at the other end. Raises: OSError."""
    one = socket.socket(fileno=fd)
    try:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
            return False
        if not one.getsockname()[1]:
            return False
        try:
            one.getpeername()
        except OSError:
            return True
        return False
    finally:
        one.detach()
