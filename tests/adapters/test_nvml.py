"""The real adapter, against the stand-in for NVML and, where there is a GPU, against the real one."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.adapters import nvml
from proxy.adapters.nvml import NvidiaDevices, compute_capabilities, has_nvidia
from proxy.core.devices import DeviceError, DeviceKind
from tests.installation import CHECKOUT

GIB = 2**30
HAS_NVIDIA = has_nvidia()


class Driver:
    """The stand-in's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.show({"uuid": "GPU-a", "total": 24 * GIB}, {"uuid": "GPU-b", "total": 12 * GIB})

    def show(self, *gpus: dict[str, Any]) -> None:
        (self.folder / "gpus.json").write_text(json.dumps(gpus))

    def hold(self, pid: int, **told: float) -> None:
        (self.folder / f"{pid}.json").write_text(
            json.dumps({key.replace("_", "-"): held for key, held in told.items()})
        )


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = importlib.util.spec_from_file_location("fake_pynvml", CHECKOUT / "tests" / "fakes" / "gpus" / "pynvml.py")
    assert found is not None
    assert found.loader is not None
    fake = importlib.util.module_from_spec(found)
    found.loader.exec_module(fake)
    monkeypatch.setattr(nvml, "pynvml", fake)
    monkeypatch.setenv("FAKE_NVML", str(tmp_path))
    return Driver(tmp_path)


def whole(total_bytes: int) -> int:
    return total_bytes


def test_every_gpu_is_a_device_by_its_uuid_with_what_models_may_use(driver: Driver) -> None:
    first, second = NvidiaDevices(lambda total: total - GIB).devices
    assert (first.id, first.name, first.kind) == ("GPU-a", "gpu0", DeviceKind.NVIDIA)
    assert (second.id, second.total_bytes, second.capacity_bytes) == ("GPU-b", 12 * GIB, 11 * GIB)


def test_mig_instances_stand_in_place_of_their_gpu(driver: Driver) -> None:
    parts = [{"uuid": "MIG-1", "total": 5 * GIB}, {"uuid": "MIG-2", "total": 10 * GIB}]
    driver.show({"uuid": "GPU-a", "total": 24 * GIB, "mig": parts}, {"uuid": "GPU-b", "total": 12 * GIB})
    devices = NvidiaDevices(whole).devices
    assert [(one.id, one.name, one.kind) for one in devices] == [
        ("MIG-1", "gpu0.mig0", DeviceKind.MIG),
        ("MIG-2", "gpu0.mig1", DeviceKind.MIG),
        ("GPU-b", "gpu1", DeviceKind.NVIDIA),
    ]


def test_each_device_has_its_compute_capability_and_an_instance_that_of_its_gpu(driver: Driver) -> None:
    parts = [{"uuid": "MIG-1", "total": 5 * GIB}, {"uuid": "MIG-2", "total": 10 * GIB}]
    old = {"uuid": "GPU-old", "total": 16 * GIB, "capability": [7, 0]}
    driver.show({"uuid": "GPU-a", "total": 80 * GIB, "capability": [9, 0], "mig": parts}, old)
    assert compute_capabilities() == {"MIG-1": (9, 0), "MIG-2": (9, 0), "GPU-old": (7, 0)}
    (driver.folder / "broken").touch()
    with pytest.raises(DeviceError, match="NVML cannot read the GPUs: Driver Not Loaded"):
        compute_capabilities()


def test_a_process_sees_the_devices_that_it_is_given_in_their_order(driver: Driver) -> None:
    assert NvidiaDevices(whole).env(["GPU-b", "GPU-a"]) == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}


def test_a_look_shows_what_is_used_and_by_whom(driver: Driver) -> None:
    driver.hold(os.getpid(), GPU_a=3 * GIB)
    first, second = NvidiaDevices(whole).look([])
    [process] = first.processes
    assert (process.pid, process.bytes) == (os.getpid(), 3 * GIB)
    assert "pytest" in process.command or "python" in process.command
    assert 3 * GIB <= first.used_bytes < 3.1 * GIB
    assert second.processes == ()


def test_a_process_that_cannot_be_seen_from_here_has_no_command(driver: Driver) -> None:
    driver.hold(os.getpid(), GPU_a=GIB)
    (driver.folder / "hide_pids").touch()
    [process] = NvidiaDevices(whole).look([])[0].processes
    assert (process.bytes, process.command) == (GIB, "")


def test_one_that_computes_and_draws_is_counted_once_and_one_without_a_figure_has_none(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.hold(os.getpid(), GPU_a=GIB)
    fake = nvml.pynvml
    listed = fake.nvmlDeviceGetComputeRunningProcesses
    unknown = type("Process", (), {"pid": 2**22 + 1, "usedGpuMemory": None})
    monkeypatch.setattr(fake, "nvmlDeviceGetGraphicsRunningProcesses", lambda handle: [*listed(handle), unknown])
    look = NvidiaDevices(whole).look([])[0]
    assert {process.pid: process.bytes for process in look.processes} == {os.getpid(): GIB, 2**22 + 1: None}


def test_a_driver_that_fails_is_an_error_that_names_the_device_and_is_asked_again(driver: Driver) -> None:
    devices = NvidiaDevices(whole)
    (driver.folder / "broken").touch()
    with pytest.raises(DeviceError, match="NVML cannot read gpu0: Driver Not Loaded"):
        devices.look([])
    (driver.folder / "broken").unlink()
    assert len(devices.look([])) == 2


def test_a_driver_that_was_reloaded_is_opened_anew(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = NvidiaDevices(whole)
    real, failures = nvml.pynvml.nvmlDeviceGetMemoryInfo, [nvml.pynvml.NVMLError_Uninitialized("Uninitialized")]

    def once(handle: object) -> object:
        if failures:
            raise failures.pop()
        return real(handle)

    monkeypatch.setattr(nvml.pynvml, "nvmlDeviceGetMemoryInfo", once)
    assert len(devices.look([])) == 2


def test_a_driver_that_does_not_come_back_is_an_error_and_no_end_of_the_proxy(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = NvidiaDevices(whole)

    def never(handle: object) -> object:
        raise nvml.pynvml.NVMLError_Uninitialized("Uninitialized")

    monkeypatch.setattr(nvml.pynvml, "nvmlDeviceGetMemoryInfo", never)
    with pytest.raises(DeviceError, match="NVML cannot be opened again"):
        devices.look([])


def test_without_a_driver_there_is_no_nvidia(driver: Driver) -> None:
    assert has_nvidia()
    driver.show()
    assert not has_nvidia()
    (driver.folder / "broken").touch()
    assert not has_nvidia()


# --- the same adapter against the real thing ----------------------------------------------------------------------

TORCH_HOLDS = """
import sys, torch
held = torch.empty(512 * 2**20, dtype=torch.uint8, device="cuda")
held.fill_(1); torch.cuda.synchronize()
print("holds", flush=True); sys.stdin.readline()
"""


@pytest.fixture
def holder() -> Iterator["subprocess.Popen[str]"]:
    """A process that holds 512 MiB of the first GPU, as vLLM would."""
    argv = [os.environ.get("TORCH_PYTHON", sys.executable), "-c", TORCH_HOLDS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "holds":
            pytest.skip("no torch with CUDA here (TORCH_PYTHON names an interpreter that has it)")
        yield process
        process.kill()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_NVIDIA, reason="this machine has no NVIDIA GPU")
def test_a_real_gpu_shows_a_real_process_and_its_memory_comes_back(holder: "subprocess.Popen[str]") -> None:
    devices = NvidiaDevices(whole)
    look = devices.look([])[0]
    held = {process.pid: process.bytes for process in look.processes}
    assert compute_capabilities()[devices.devices[0].id] >= (3, 0)
    print(f"{devices.devices[0]}: used {look.used_bytes}, by process {held}")
    assert devices.devices[0].id.startswith(("GPU-", "MIG-"))
    assert 512 * 2**20 <= look.used_bytes < devices.devices[0].total_bytes
    if held.get(holder.pid) is not None:  # in a container NVML may list pids of the host
        assert int(held[holder.pid] or 0) >= 512 * 2**20
    holder.kill()
    holder.wait()
    for _ in range(200):
        now = devices.look([])[0]
        if now.used_bytes <= look.used_bytes - 512 * 2**20:
            break
    print(f"after its end: used {now.used_bytes}")
    assert now.used_bytes <= look.used_bytes - 512 * 2**20
