"""Prepares an engine's launch: checks on this machine what a start needs, then renders the command line.

Rule: what would make vLLM fail after half a minute, and can be seen now, is refused now, with the remedy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from catalog.amounts import sleep_levels_of
from catalog.render import Launch, Preparation, Seat, launch, static_env
from catalog.spec import ModelSpec
from proxy.adapters.processes import port_holder
from proxy.core.devices import Device, DeviceKind
from proxy.core.diagnose import Lasts
from proxy.core.errors import EngineStartFailed, PortTaken, WeightsMissing


class Devices(Protocol):
    """Who knows the devices and how a process is pointed at them."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """All of them."""

    def env(self, ids: Sequence[str]) -> dict[str, str]:
        """The variables that make a process see these and no other."""


def missing_weights(spec: ModelSpec) -> WeightsMissing | None:
    """The error if `spec`'s folder holds no model."""
    if (Path(spec.weights) / "config.json").is_file():
        return None
    fetch = (
        f"fetch them with: bin/download_models.py {spec.name}" if spec.source else "put the model where 'weights' says"
    )
    return WeightsMissing(f"{spec.name}'s weights are missing: {fetch}", detail=f"no config.json in {spec.weights}")


class Launcher:
    """Launches on `devices`: `vllm` is the executable for specs that name none."""

    def __init__(self, vllm: Path, devices: Devices) -> None:
        self._vllm = vllm
        self._devices = devices

    def __repr__(self) -> str:
        return f"<Launcher {self._vllm}>"

    def prepare(
        self, spec: ModelSpec, devices: tuple[str, ...], awake_bytes: int, kv_cache_bytes: int | None
    ) -> Launch:
        """The launch of `spec` on `devices`, each with `awake_bytes` reserved; `kv_cache_bytes` is what was learned.

        Raises: WeightsMissing, PortTaken, EngineStartFailed.
        """
        self.check(spec)
        own = [device for device in self._devices.devices if device.id in devices]
        is_gpu = all(device.kind is not DeviceKind.CPU for device in own)
        seat = Seat(
            total_bytes=min(device.total_bytes for device in own) if is_gpu else None,
            awake_bytes=awake_bytes,
            kv_cache_bytes=spec.kv_cache_bytes or kv_cache_bytes,
            env=self._devices.env(devices),
            can_sleep=bool(sleep_levels_of(spec, is_gpu)),
        )
        try:
            return launch(spec, str(self._vllm), seat)
        except ValueError as error:
            raise EngineStartFailed(str(error), lasts=Lasts.LASTING) from error

    def preparation(self, spec: ModelSpec) -> Preparation:
        """What `spec`'s process may do before it has leave. Raises: as `check`."""
        self.check(spec)
        kinds = {device.kind for device in self._devices.devices}
        executable = None if DeviceKind.AMD in kinds else spec.vllm or str(self._vllm)
        can_sleep = bool(sleep_levels_of(spec, DeviceKind.CPU not in kinds))
        return Preparation(executable, static_env(spec, can_sleep))

    def check(self, spec: ModelSpec) -> None:
        """Raises: WeightsMissing, PortTaken, EngineStartFailed, where a start of `spec` is bound to fail."""
        if (missing := missing_weights(spec)) is not None:
            raise missing
        executable = Path(spec.vllm) if spec.vllm else self._vllm
        if not executable.is_file():
            what = f"{spec.name} has no vLLM to run with; install it with: bin/manage_vllm.sh install-vllm"
            raise EngineStartFailed(what, detail=f"{executable} is not there")
        if (holder := port_holder(spec.port)) is not None:
            what = f"{spec.name} listens on port {spec.port}, and another process has it: free it, or change 'port'"
            raise PortTaken(what, detail=f"{holder} has it")
