"""Prepares an engine's launch: checks on this machine what a start needs, then renders the command line.

Rule: what would make vLLM fail after half a minute, and can be seen now, is refused now, with the remedy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from catalog.amounts import sleep_levels_of
from catalog.interpreter import package_folders, python_of
from catalog.render import Launch, Preparation, Seat, canonical_flag, launch, static_env
from catalog.spec import ModelSpec
from proxy.adapters.processes import port_holder
from proxy.adapters.scratch import Scratch
from proxy.adapters.vllm_version import is_tested, version_of
from proxy.core.devices import Device, DeviceKind
from proxy.core.diagnose import Lasts
from proxy.core.errors import EngineStartFailed, PortTaken, WeightsMissing

CONFIG = "config.json"
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
}
"""Variables, and their folders below that of a version. vLLM's names are of 0.32, `envs.py`."""
MULTIPROC_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
"""vLLM's variable: where the catalog sets it, it counts."""
PLUGIN = "vllm_gguf_plugin*"
"""What the plugin's installation leaves in site-packages."""
_GPU_ONLY = (
    "weights are a GGUF file, which vLLM's plugin computes on a GPU only: let it be converted (source: {file: ...})"
)


class Devices(Protocol):
    """Who knows the devices and how a process is pointed at them."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """All of them."""

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """The variables that make a process see these and no other."""


def missing_weights(spec: ModelSpec) -> WeightsMissing | None:
    """The error if `spec`'s folder holds no model, or its GGUF file lacks what vLLM's plugin reads beside it."""
    weights = Path(spec.weights)
    missing = None
    if not spec.is_gguf:
        if not (weights / CONFIG).is_file():
            missing = f"no {CONFIG} in {weights}"
    elif not weights.is_file():
        missing = f"no file {weights}"
    elif not _config_of_gguf(spec).is_file():
        what = f"{spec.name}'s GGUF file has no configuration beside it: vLLM takes that and the tokenizer from there"
        remedy = f"put the original model's {CONFIG} and tokenizer files in one folder with it, or name their folder"
        return WeightsMissing(
            f"{what}. {remedy}: vllm_args: {{tokenizer: FOLDER}}", detail=f"no {_config_of_gguf(spec)}"
        )
    if missing is None:
        return None
    fetch = (
        f"fetch them with: bin/download_models.py {spec.name}" if spec.source else "put the model where 'weights' says"
    )
    return WeightsMissing(f"{spec.name}'s weights are missing: {fetch}", detail=missing)


def _config_of_gguf(spec: ModelSpec) -> Path:
    """Where the plugin reads the configuration. Source: vllm-gguf-plugin 0.0.5, plugin.py, _get_gguf_config_source."""
    flags = {canonical_flag(flag): value for flag, value in spec.vllm_args.items()}
    named = flags.get("hf-config-path") or flags.get("tokenizer")
    return (Path(str(named)) if named else spec.folder) / CONFIG


def _without_plugin(spec: ModelSpec, executable: Path) -> str | None:
    """Why the vLLM of `executable` serves no GGUF file, in words; None if it does, or if that cannot be seen.

    vLLM 0.32 itself reads none: it takes the file for JSON and fails after ten seconds.
    """
    sites = package_folders(executable)
    if not spec.is_gguf or not sites or any(any(site.glob(PLUGIN)) for site in sites):
        return None
    return (
        f"{spec.name}'s weights are a GGUF file, which vLLM serves with its plugin only: install it with "
        f"{python_of(executable)} -m pip install vllm-gguf-plugin==0.0.5, or let the file be converted "
        "(source: {file: ...})"
    )


def gguf_obstacles(spec: ModelSpec, executable: Path, is_gpu: bool) -> list[str]:
    """What keeps the vLLM of `executable` from serving `spec`'s GGUF file as it is, in words; none for a folder."""
    if not spec.is_gguf:
        return []
    missing = missing_weights(spec)
    told = [None if missing is None else missing.message, _without_plugin(spec, executable)]
    return [*filter(None, told), *([] if is_gpu else [f"{spec.name}'s {_GPU_ONLY}"])]


def may_prepare(spec: ModelSpec) -> bool:
    """Whether one process makes all others of `spec`'s engine, on one device: else it is started as vLLM does it."""
    flags = {canonical_flag(flag): value for flag, value in spec.vllm_args.items()}
    is_local = flags.get("distributed-executor-backend") in (None, "mp", "uni")
    return spec.device_count == 1 and is_local and flags.get("data-parallel-backend") in (None, "mp")


class Launcher:
    """Launches on `devices`: `vllm` is the executable for specs that name none, `forks` the setting.

    What is compiled at first starts is kept in `caches`, apart for each version of vLLM, and temporary files are in
    `scratch`; by default both are where vLLM would put them.
    """

    def __init__(
        self,
        vllm: Path,
        devices: Devices,
        *,
        forks: bool = False,
        caches: Path | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        self._forks = forks
        self._caches = caches
        self._scratch = scratch
        self._vllm = vllm
        self._devices = devices

    def __repr__(self) -> str:
        return f"<Launcher {self._vllm}>"

    def missing_weights(self, spec: ModelSpec) -> WeightsMissing | None:
        """The error if `spec`'s place holds no model."""
        return missing_weights(spec)

    def prepare(
        self, spec: ModelSpec, devices: tuple[str, ...], awake_bytes: int, kv_cache_bytes: int | None
    ) -> Launch:
        """The launch of `spec` on `devices`, each with `awake_bytes` reserved; `kv_cache_bytes` is what was learned.

        Raises: WeightsMissing, PortTaken, EngineStartFailed.
        """
        self.check(spec)
        own = [device for device in self._devices.devices if device.id in devices]
        is_gpu = all(device.kind is not DeviceKind.CPU for device in own)
        if spec.is_gguf and not is_gpu:
            # Its engine becomes ready, and ends at the first request: "Triton dequant kernels require CUDA tensors".
            raise EngineStartFailed(f"{spec.name}'s {_GPU_ONLY}", lasts=Lasts.LASTING)
        seat = Seat(
            total_bytes=min(device.total_bytes for device in own) if is_gpu else None,
            awake_bytes=awake_bytes,
            kv_cache_bytes=spec.kv_cache_bytes or kv_cache_bytes,
            env=self._devices.env(devices),
            can_sleep=bool(sleep_levels_of(spec, is_gpu)),
        )
        try:
            launched = launch(spec, str(self._vllm), seat)
        except ValueError as error:
            raise EngineStartFailed(str(error), lasts=Lasts.LASTING) from error
        return Launch(launched.argv, self._folders_env(spec) | launched.env)

    def preparation(self, spec: ModelSpec) -> Preparation:
        """What `spec`'s process, which begins, may do before it has leave: nothing but where that was tried.

        What the one before left of temporary files is gone. Raises: as `check`.
        """
        self.check(spec)
        if self._scratch is not None:
            self._scratch.clear(spec.name)
        kinds = {device.kind for device in self._devices.devices}
        executable = spec.vllm or str(self._vllm)
        may = DeviceKind.AMD not in kinds and may_prepare(spec) and is_tested(Path(executable))
        can_sleep = bool(sleep_levels_of(spec, DeviceKind.CPU not in kinds))
        env = self._folders_env(spec) | static_env(spec, can_sleep)
        return Preparation(executable if may else None, env, may and self._forks and MULTIPROC_METHOD not in spec.env)

    def _folders_env(self, spec: ModelSpec) -> dict[str, str]:
        """Where it has temporary files, and what it compiles; what the catalog says of that counts."""
        scratch = {} if self._scratch is None else self._scratch.env(spec.name)
        return scratch | self._cache_env(spec)

    def _cache_env(self, spec: ModelSpec) -> dict[str, str]:
        """Where vLLM, Triton and FlashInfer keep what they compile."""
        if self._caches is None:
            return {}
        root = self._caches / f"vllm-{version_of(Path(spec.vllm) if spec.vllm else self._vllm)}"
        return {name: str(root / folder) for name, folder in CACHES.items()}

    def check(self, spec: ModelSpec) -> None:
        """Raises: WeightsMissing, PortTaken, EngineStartFailed, where a start of `spec` is bound to fail."""
        if (missing := missing_weights(spec)) is not None:
            raise missing
        executable = Path(spec.vllm) if spec.vllm else self._vllm
        if not executable.is_file():
            what = f"{spec.name} has no vLLM to run with; install it with: bin/manage_vllm.sh install-vllm"
            raise EngineStartFailed(what, detail=f"{executable} is not there")
        if (why := _without_plugin(spec, executable)) is not None:
            raise EngineStartFailed(why)
        if (holder := port_holder(spec.port)) is not None:
            what = f"{spec.name} listens on port {spec.port}, and another process has it: free it, or change 'port'"
            raise PortTaken(what, detail=f"{holder} has it")
