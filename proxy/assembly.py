"""Puts the fleet together: the devices, what each model takes of them, and everything that looks after engines."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.amounts import declared, sleep_levels_of
from catalog.render import identity
from catalog.spec import Catalog, ModelSpec
from proxy.adapters.devices import Devices, open_devices
from proxy.adapters.engine import EngineApi
from proxy.adapters.launcher import Launcher, missing_weights
from proxy.adapters.processes import host_available_bytes
from proxy.adapters.pulse import Pulse
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import Supervisord
from proxy.adapters.vllm_version import version_of
from proxy.core.choices import choices, unknown
from proxy.core.costs import Costs
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.figures import Learned, figures_key
from proxy.core.limits import Limits
from proxy.core.probe import Answer
from proxy.core.roster import EngineNeeds
from proxy.core.scheduler import Scheduler
from proxy.core.terms import terms_of
from proxy.fleet import Fleet
from proxy.keeper import Keeper
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.groups import Groups, Launched
from proxy.lifecycle.launching import Launching
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.watch import Watch
from proxy.settings import Layout, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assembled:
    """The fleet, and what is only looked at."""

    fleet: Fleet
    memory: Memory
    groups: Groups
    devices: tuple[Device, ...]


async def assemble(here: Layout, settings: Settings, catalog: Catalog, stack: AsyncExitStack) -> Assembled:
    """The fleet of `catalog` on this machine's devices; `stack` closes what it opened. Raises: DeviceError."""
    devices = await asyncio.to_thread(
        open_devices,
        limit_bytes=settings.device_memory_bytes,
        reserve_bytes=settings.device_reserve_bytes,
        budget_bytes=catalog.agents.memory_budget_bytes,
    )
    vllm = here.root / settings.vllm
    declared_by = {name: declared_on(spec, devices.devices) for name, spec in catalog.models.items()}
    choices_by = {name: _choices(spec, devices) for name, spec in catalog.models.items()}
    keys = {name: _key(spec, vllm, devices) for name, spec in catalog.models.items()}
    groups = Groups()
    supervisor = Supervisord(here.supervisord_socket)
    control, pulse = EngineApi(), Pulse()
    stack.push_async_callback(control.close)
    stack.push_async_callback(pulse.close)
    memory = Memory(
        devices=devices,
        groups=groups,
        declared=declared_by,
        keys=keys,
        learned=StateFile(here.state / "figures.json", Learned, {}),
        log_of=here.log_of,
        settle_timeout_s=settings.settle_timeout_s,
    )
    watch = Watch(
        catalog=catalog,
        supervisor=supervisor,
        pulse=pulse,
        groups=groups,
        log_of=here.log_of,
        hang_timeout_s=settings.hang_timeout_s,
    )
    launching = Launching(
        catalog=catalog,
        programs=supervisor,
        launches=Launcher(vllm, devices),
        memory=memory,
        watch=watch,
        groups=groups,
        launched=StateFile(here.state / "launched.json", dict[str, Launched], {}),
    )
    lifecycle = Lifecycle(
        catalog=catalog,
        supervisor=supervisor,
        control=control,
        memory=memory,
        watch=watch,
        groups=groups,
        answers=StateFile(here.state / "probes.json", dict[str, Answer], {}),
        launched=launching.launched,
        keys=keys,
        choices=choices_by,
        gate_socket=here.gate_socket,
        sleep_timeout_s=settings.sleep_timeout_s,
    )
    needs = {
        name: EngineNeeds(
            amounts=memory.amounts(name),
            choices=choices_by[name],
            start_timeout_s=spec.start_timeout_s,
            sleep_levels=sleep_levels_of(spec, _is_gpu(devices)),
            terms=terms_of(spec, catalog.agents.agent_types.values()),
        )
        for name, spec in catalog.models.items()
    }
    scheduler = Scheduler(
        devices.devices,
        needs,
        _limits(settings),
        host_bytes=_host_bytes(settings),
        now=asyncio.get_running_loop().time(),
    )
    fleet = Fleet(
        catalog=catalog,
        scheduler=scheduler,
        lifecycle=lifecycle,
        launching=launching,
        watch=watch,
        memory=memory,
        keeper=Keeper(
            stops=StateFile(here.state / "stopped_by_hand.json", dict[str, str], {}),
            costs=StateFile(here.state / "costs.json", dict[str, Costs], {}),
            keys=keys,
        ),
        preloads=[name for name, one in needs.items() if one.terms.is_preload],
        poll_interval_s=settings.poll_interval_s,
    )
    for warning in [*fleet.misfits().values(), *(await asyncio.to_thread(missing, catalog)).values()]:
        log.warning("%s", warning)
    return Assembled(fleet, memory, groups, devices.devices)


def missing(catalog: Catalog) -> dict[str, str]:
    """What is to be done, by model, about those whose weights are not there now."""
    errors_of = {name: missing_weights(spec) for name, spec in catalog.models.items()}
    return {name: error.in_full for name, error in errors_of.items() if error is not None}


def declared_on(spec: ModelSpec, devices: tuple[Device, ...]) -> Amounts:
    """What `spec` declares, or is estimated to take, on devices of this kind.

    On a host without a GPU a sleep frees nothing and pins nothing (vLLM 0.32, `v1/worker/cpu_worker.py` sleep).
    """
    said = declared(spec)
    taken = Amounts(said.startup_peak_bytes, said.awake_bytes, said.asleep_bytes, said.sleep_host_bytes)
    if any(device.kind is not DeviceKind.CPU for device in devices):
        return taken
    asleep_bytes = said.awake_bytes if spec.asleep_bytes is None else said.asleep_bytes
    return replace(taken, asleep_bytes=asleep_bytes, sleep_host_bytes=0)


def _choices(spec: ModelSpec, devices: Devices) -> tuple[tuple[str, ...], ...]:
    for name in unknown(devices.devices, spec.devices):
        known = ", ".join(f"{device.name} ({device.id})" for device in devices.devices)
        log.warning("%s: there is no device '%s', or more than one; there are: %s", spec.name, name, known)
    return choices(devices.devices, spec.devices, spec.device_count)


def _key(spec: ModelSpec, vllm: Path, devices: Devices) -> str:
    executable = Path(spec.vllm) if spec.vllm else vllm
    can_sleep = bool(sleep_levels_of(spec, _is_gpu(devices)))
    return figures_key(spec.name, version_of(executable), identity(spec, can_sleep))


def _is_gpu(devices: Devices) -> bool:
    return any(device.kind is not DeviceKind.CPU for device in devices.devices)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_wait_s=settings.max_wait_s,
        queue_timeout_s=settings.queue_timeout_s,
        max_queue=settings.max_queue,
        overlap=settings.overlap,
        cool_down_s=settings.cool_down_s,
        blocked_s=settings.blocked_s,
        # The scheduler's own limit stands behind the act's, for an act that does not end: it also waits for memory.
        sleep_timeout_s=settings.sleep_timeout_s + settings.settle_timeout_s + 10.0,
        wakes_after_stop_by_hand=settings.start_after_stop_by_hand,
    )


def _host_bytes(settings: Settings) -> int:
    """What sleepers may pin: as set, or half of what is available now."""
    if settings.sleep_host_bytes is not None:
        return int(settings.sleep_host_bytes)
    return host_available_bytes() // 2
