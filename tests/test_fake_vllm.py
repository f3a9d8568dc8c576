"""The stand-in for vLLM, by itself: what it does on GPUs, which no test can check against real vLLM here.

All else it does is held to real vLLM by `tests/e2e/test_scenario.py`, which runs against both.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from proxy.adapters import processes
from proxy.core.figures import from_log
from tests.installation import FAKE_VLLM, eventually, free_port

GIB = 2**30
BODY = {"model": "m", "prompt": "x", "max_tokens": 2}


class Fake:
    """One stand-in that runs, on one GPU of 24 GiB."""

    def __init__(self, folder: Path, *flags: str, dev_mode: bool = True) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        (folder / "config.json").write_text("{}")
        for name in ("nvml", "control"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "nvml" / "gpus.json").write_text(json.dumps([{"uuid": "GPU-a", "total": 24 * GIB}]))
        environ = {
            "FAKE_NVML": str(folder / "nvml"),
            "FAKE_CONTROL": str(folder / "control"),
            "CUDA_VISIBLE_DEVICES": "GPU-a",
            "VLLM_SERVER_DEV_MODE": "1" if dev_mode else "0",
        }
        port = self.url.rpartition(":")[2]
        argv = [sys.executable, str(FAKE_VLLM), "serve", str(folder), "--served-model-name", "m", "--host", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*argv, "--port", port, "--gpu-memory-utilization", "0.5", *flags],
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def core(self) -> int:
        found = [pid for pid in _children(self.process.pid) if processes.title(pid).startswith("VLLM::EngineCore")]
        return found[0]

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def post(self, path: str, timeout_s: float = 10, **body: object) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=timeout_s)

    def held_gib(self) -> float:
        return sum(json.loads(path.read_text())["GPU-a"] for path in (self.folder / "nvml").glob("[0-9]*.json")) / GIB


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@contextmanager
def running(folder: Path, *flags: str, dev_mode: bool = True) -> Iterator[Fake]:
    fake = Fake(folder, *flags, dev_mode=dev_mode)
    try:
        eventually(fake.is_up)
        yield fake
    finally:
        for pid in [*_children(fake.process.pid), fake.process.pid] if fake.process.poll() is None else []:
            os.kill(pid, 9)
        fake.process.wait()
        assert fake.process.stdout is not None
        fake.process.stdout.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with running(tmp_path, "--enable-sleep-mode", "--kv-cache-memory-bytes", "5") as fake:
        yield fake


def test_asleep_it_holds_little_and_requests_hang_until_it_wakes(fake: Fake) -> None:
    assert fake.held_gib() == pytest.approx(12, abs=0.01)
    assert fake.post("/sleep?level=1&mode=wait").json() == {"status": "sleeping", "level": 1}
    assert fake.held_gib() == pytest.approx(1.2, abs=0.01)
    with pytest.raises(httpx.ReadTimeout):
        fake.post("/v1/completions", timeout_s=0.3, **BODY)
    assert fake.post("/wake_up").json()["status"] == "awake"
    assert fake.held_gib() == pytest.approx(12, abs=0.01)
    assert fake.post("/v1/completions", **BODY).json()["choices"][0]["text"] == "m-0 m-1 "


def test_after_level_2_a_plain_wake_answers_garbage_with_200_and_the_four_steps_do_not(fake: Fake) -> None:
    for steps, text in (([], "garbage-0 garbage-1 "), (["weights", "reload", "kv_cache"], "m-0 m-1 ")):
        fake.post("/sleep?level=2")
        for step in steps or [None]:
            if step == "reload":
                fake.post("/collective_rpc", method="reload_weights")
            else:
                fake.post("/wake_up" + (f"?tags={step}" if step else ""))
                is_asleep = httpx.get(f"{fake.url}/is_sleeping").json()["is_sleeping"]
                assert is_asleep == (step == "weights"), "half awake counts as asleep"
        got = fake.post("/v1/completions", **BODY)
        assert (got.status_code, got.json()["choices"][0]["text"]) == (200, text)


def test_a_wake_without_memory_fails_and_so_does_every_later_one(fake: Fake) -> None:
    fake.post("/sleep?level=1")
    stranger = fake.folder / "nvml" / f"{os.getpid()}.json"
    stranger.write_text(json.dumps({"GPU-a": 20 * GIB}))
    assert "out of memory" in fake.post("/wake_up").json()["error"]["message"]
    stranger.unlink()
    assert fake.post("/wake_up").status_code == 500


def test_its_start_check_has_vllms_words_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "nvml").mkdir()
    (tmp_path / "nvml" / f"{os.getpid()}.json").write_text(json.dumps({"GPU-a": 20 * GIB}))
    fake = Fake(tmp_path)
    said, _ = fake.process.communicate(timeout=10)
    assert fake.process.returncode == 1
    assert "Free memory on device cuda:0 (4.00/24.00 GiB) on startup is less than desired" in said


def test_where_it_measures_its_kv_cache_it_says_so_as_vllm_does(tmp_path: Path) -> None:
    with running(tmp_path) as fake:
        assert fake.process.stdout is not None
        said = from_log(fake.process.stdout.readline())
    assert said is not None
    assert said.logged_bytes == pytest.approx(12.5 * GIB, rel=0.02)


def test_without_dev_mode_there_is_no_sleep(tmp_path: Path) -> None:
    with running(tmp_path, dev_mode=False) as fake:
        assert fake.post("/sleep?level=1").status_code == 404


def test_its_core_is_named_as_vllms_and_without_it_running_requests_fail_and_it_ends_with_0(fake: Fake) -> None:
    (fake.folder / "control" / "m.json").write_text(json.dumps({"token_s": 0.05}))
    with httpx.stream("POST", f"{fake.url}/v1/completions", json={**BODY, "max_tokens": 99, "stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        os.kill(fake.core(), 9)
        assert any('"error"' in line for line in lines)
    assert fake.process.wait(5) == 0


def test_killed_it_leaves_its_core_and_its_memory_behind(fake: Fake) -> None:
    core = fake.core()
    fake.process.kill()
    fake.process.wait()
    time.sleep(0.05)
    assert processes.exists(core)
    assert fake.held_gib() == pytest.approx(12, abs=0.01)
    os.kill(core, 9)


def test_with_its_core_stopped_it_is_healthy_and_answers_nothing(fake: Fake) -> None:
    os.kill(fake.core(), 19)
    assert fake.is_up()
    with pytest.raises(httpx.ReadTimeout):
        fake.post("/v1/completions", timeout_s=0.3, **BODY)
