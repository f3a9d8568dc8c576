import json
from pathlib import Path

import msgspec
import pytest

from catalog.spec import GIB, AgentRoute, Agents, Catalog, Gib, ModelSpec
from proxy.adapters import nvml
from proxy.core.devices import Device, DeviceError, DeviceKind
from proxy.daemon import DaemonError
from proxy.settings import Layout, Settings
from proxy.verbs import hardware
from proxy.verbs.hardware import Advice, candidate_of, places_here
from tests.catalog.estimate.configurations import LLAMA_8B
from tests.fleet_stage import spec


class Opened:
    def __init__(self, kind: DeviceKind, gib: int) -> None:
        self.devices = (Device("GPU-1", "gpu0", kind, gib * GIB, gib * GIB - GIB // 2),)


def catalog(*models: ModelSpec) -> Catalog:
    agents = Agents(agent_types={"Chat": AgentRoute(model=models[0].name)})
    return Catalog(folder=Path("c"), models={one.name: one for one in models}, agents=agents)


@pytest.fixture
def llama(tmp_path: Path) -> ModelSpec:
    """Llama-3.1-8B: 15 GiB of weights, of which the config is known."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    more = {"weights": str(tmp_path), "max_model_len": 8192, "memory_bytes": Gib(18 * GIB), "kv_cache_bytes": Gib(GIB)}
    return msgspec.structs.replace(spec("llama"), **more)


def on(monkeypatch: pytest.MonkeyPatch, kind: DeviceKind, gib: int) -> None:
    monkeypatch.setattr(hardware, "open_devices", lambda **_limits: Opened(kind, gib))
    monkeypatch.setattr(nvml, "compute_capabilities", lambda: {"GPU-1": (7, 0)})


def test_the_hardware_is_what_the_proxy_would_use(monkeypatch: pytest.MonkeyPatch, llama: ModelSpec) -> None:
    on(monkeypatch, DeviceKind.NVIDIA, 24)
    [place] = places_here(Settings(), catalog(llama))
    assert (place.name, place.total_bytes, place.is_gpu, place.ids) == ("gpu0", 24 * GIB, True, ("GPU-1",))
    assert place.capability == (7, 0)
    on(monkeypatch, DeviceKind.CPU, 24)
    assert places_here(Settings(), catalog(llama))[0].capability is None


def test_devices_that_cannot_be_read_are_an_error_in_words(monkeypatch: pytest.MonkeyPatch, llama: ModelSpec) -> None:
    def broken(**_limits: object) -> None:
        raise DeviceError("the driver does not answer")

    monkeypatch.setattr(hardware, "open_devices", broken)
    with pytest.raises(DaemonError, match="the driver does not answer"):
        places_here(Settings(), catalog(llama))


def test_a_model_that_fits_needs_no_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModelSpec) -> None:
    on(monkeypatch, DeviceKind.NVIDIA, 24)
    assert Advice(Layout(tmp_path), Settings(), catalog(llama)).why_not(llama) is None


def test_one_that_does_not_is_told_with_the_nearest_that_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModelSpec
) -> None:
    on(monkeypatch, DeviceKind.NVIDIA, 12)
    said = Advice(Layout(tmp_path), Settings(), catalog(llama)).why_not(llama)
    assert said is not None
    assert said.startswith("it does not fit: its weights alone take 14.96 GiB, and gpu0 has 11.50 GiB for models")
    assert "nearest: device_count: 2" in said


def test_what_its_gpu_cannot_do_is_told_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModelSpec
) -> None:
    on(monkeypatch, DeviceKind.NVIDIA, 24)
    wanting = msgspec.structs.replace(llama, dtype="bfloat16")
    assert Advice(Layout(tmp_path), Settings(), catalog(wanting)).why_not(wanting) == (
        "it does not fit: bfloat16 needs a GPU of compute capability 8.0, and gpu0 has 7.0; nearest: dtype: float16"
    )


def test_without_a_gpu_nothing_is_advised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModelSpec) -> None:
    on(monkeypatch, DeviceKind.CPU, 12)
    assert Advice(Layout(tmp_path), Settings(), catalog(llama)).why_not(llama) is None


def test_a_flag_that_cannot_be_read_is_named_and_no_reason_not_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModelSpec
) -> None:
    on(monkeypatch, DeviceKind.NVIDIA, 12)
    wrong = msgspec.structs.replace(llama, vllm_args={"max-num-batched-tokens": "many"})
    with pytest.raises(DaemonError, match="llama: vllm_args: "):
        candidate_of(Layout(tmp_path), wrong, catalog(wrong))
    assert Advice(Layout(tmp_path), Settings(), catalog(wrong)).why_not(wrong) is None
