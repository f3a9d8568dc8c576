"""The hardware that is here and what a model needs of it, for the verbs that need no running service."""

from catalog.estimate.checkpoint import read_checkpoint
from catalog.estimate.flags import flags_of
from catalog.estimate.tensors import CheckpointError
from catalog.hardware.candidate import Candidate
from catalog.hardware.fit import fit
from catalog.hardware.places import Place
from catalog.spec import Catalog, ModelSpec
from proxy import daemon
from proxy.adapters import nvml
from proxy.adapters.devices import open_devices
from proxy.core.devices import DeviceError, DeviceKind
from proxy.settings import Layout, Settings
from proxy.verbs.catalogs import catalog_folder


def places_here(settings: Settings, catalog: Catalog) -> tuple[Place, ...]:
    """This machine's devices, with what models may use of them. Raises: DaemonError."""
    try:
        opened = open_devices(
            limit_bytes=settings.device_memory_bytes,
            reserve_bytes=settings.device_reserve_bytes,
            budget_bytes=catalog.agents.memory_budget_bytes,
        )
        is_nvidia = any(one.kind in (DeviceKind.NVIDIA, DeviceKind.MIG) for one in opened.devices)
        capabilities = nvml.compute_capabilities() if is_nvidia else {}
    except DeviceError as error:
        raise daemon.DaemonError(str(error)) from error
    return tuple(
        Place(
            one.name,
            one.total_bytes,
            one.capacity_bytes,
            one.kind is not DeviceKind.CPU,
            ids=(one.id,),
            capability=capabilities.get(one.id),
        )
        for one in opened.devices
    )


def candidate_of(here: Layout, spec: ModelSpec, catalog: Catalog) -> Candidate:
    """`spec`, picked from `catalog`, with what is known of its checkpoint.

    Raises: DaemonError for a flag that cannot be read.
    """
    try:
        flags = flags_of(spec)
    except ValueError as error:
        raise daemon.DaemonError(f"{spec.name}: vllm_args: {error}") from error
    try:
        return Candidate(spec, flags, read_checkpoint(spec, here.root, catalog_folder(here, catalog, spec)))
    except CheckpointError as error:
        return Candidate(spec, flags, None, str(error))


class Advice:
    """Says of a model, before its weights are fetched, that it fits on no GPU of this machine.

    Where there is no GPU it says nothing: weights may be fetched on another machine than the one that serves them.
    """

    def __init__(self, here: Layout, settings: Settings, catalog: Catalog) -> None:
        self._here = here
        self._catalog = catalog
        self._reserve_bytes = int(settings.device_reserve_bytes)
        self._places = [place for place in places_here(settings, catalog) if place.is_gpu]

    def __repr__(self) -> str:
        return f"<Advice on {', '.join(place.name for place in self._places) or 'no GPU'}>"

    def why_not(self, spec: ModelSpec) -> str | None:
        """Why `spec` cannot run here, and the nearest thing that can; None if it can, or nobody knows."""
        if not self._places:
            return None
        try:
            told = fit(candidate_of(self._here, spec, self._catalog), self._places, self._reserve_bytes)
        except daemon.DaemonError:
            return None  # `check` says what is wrong with its flags
        if told.fits:
            return None
        return f"it does not fit: {told.reason}" + (f"; nearest: {told.instead}" if told.instead else "")
