"""What is looked at before a fork: the threads beside it, and what was done with CUDA."""

import importlib
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.installation import CHECKOUT

sys.path.append(str(CHECKOUT / "bin" / "in_engine"))


@pytest.fixture
def fork() -> ModuleType:
    return importlib.import_module("rota_engine_fork")


class Tasks:
    """A folder as /proc/self/task."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, number: int, comm: str, wchan: str | None) -> None:
        (self.folder / str(number)).mkdir()
        (self.folder / str(number) / "comm").write_text(f"{comm}\n")
        if wchan is not None:
            (self.folder / str(number) / "wchan").write_text(wchan)


@pytest.fixture
def tasks(tmp_path: Path, fork: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    monkeypatch.setattr(fork, "TASKS", tmp_path)
    monkeypatch.setattr(fork, "SETTLES_S", 0.0)
    return Tasks(tmp_path)


def test_a_thread_of_zeromq_that_sleeps_in_epoll_is_harmless(fork: ModuleType, tasks: Tasks) -> None:
    tasks.add(threading.get_native_id(), "python", "0")
    tasks.add(1, "ZMQbg/IO/0", "ep_poll_epoll_wait")
    assert fork.other_threads() == []
    tasks.add(2, "ZMQbg/IO/1", "futex_wait")
    tasks.add(3, "worker", "do_epoll_wait")
    assert sorted(fork.other_threads()) == ["ZMQbg/IO/1", "worker"]


def test_where_the_kernel_does_not_say_in_what_a_thread_waits_it_may_hold_a_lock(
    fork: ModuleType, tasks: Tasks
) -> None:
    tasks.add(1, "ZMQbg/IO/0", None)
    assert fork.other_threads() == ["ZMQbg/IO/0"]


def test_one_that_has_ended_meanwhile_does_not_count(fork: ModuleType, tasks: Tasks) -> None:
    (tasks.folder / "1").symlink_to(tasks.folder / "gone")
    assert fork.other_threads() == []


@pytest.mark.parametrize("is_initialized", [False, True])
def test_cuda_that_is_initialized_is_seen(
    fork: ModuleType, monkeypatch: pytest.MonkeyPatch, is_initialized: bool
) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: is_initialized))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert fork.touched() == (["CUDA is initialized"] if is_initialized else [])


def test_a_device_that_is_open_is_seen(fork: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert fork.touched() == []
    monkeypatch.setattr(fork, "FDS", tmp_path)
    for number, path in enumerate((os.devnull, "/dev/nvidia0", "socket:[1]")):
        (tmp_path / str(number)).symlink_to(path)
    assert fork.touched() == ["/dev/nvidia0 is open"]
