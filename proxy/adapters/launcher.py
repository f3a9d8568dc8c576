"""Prepares an engine's launch: checks on this machine what a start needs, then renders the command line.

Rule: what would make vLLM fail after half a minute, and can be seen now, is refused now, with the remedy.
"""

from pathlib import Path

from catalog.render import Launch, launch
from catalog.spec import ModelSpec
from proxy.adapters.gpu import HostDevice, NvidiaDevice
from proxy.adapters.processes import port_holder
from proxy.core.errors import EngineStartFailed, PortTaken, WeightsMissing


class Launcher:
    """Launches on `device`: `vllm` is the executable for specs that name none."""

    def __init__(self, vllm: Path, device: HostDevice | NvidiaDevice) -> None:
        self._vllm = vllm
        self._device = device

    def __repr__(self) -> str:
        return f"<Launcher {self._vllm}>"

    def prepare(self, spec: ModelSpec) -> Launch:
        """The launch of `spec`. Raises: WeightsMissing, PortTaken, EngineStartFailed."""
        if not (Path(spec.weights) / "config.json").is_file():
            fetch = f"fetch it with: bin/download_models.py {spec.name}" if spec.source else "put the model there"
            raise WeightsMissing(f"{spec.name} has no model at {spec.weights} (no config.json): {fetch}")
        executable = Path(spec.vllm) if spec.vllm else self._vllm
        if not executable.is_file():
            raise EngineStartFailed(
                f"{spec.name}: {executable} is not there; install it with: bin/manage_vllm.sh install-vllm"
            )
        if (holder := port_holder(spec.port)) is not None:
            raise PortTaken(f"{spec.name} listens on port {spec.port}, and {holder} has it: free it, or change 'port'")
        return launch(spec, str(self._vllm), self._device.gpu_total_bytes, self._device.env)
