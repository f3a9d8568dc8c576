"""Puts the fleet together: the devices, what each model takes of them, and everything that looks after engines."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from catalog.spec import Catalog
from proxy.adapters.devices import Devices, open_devices
from proxy.adapters.engine import EngineApi
from proxy.adapters.engine_keys import EngineKeys
from proxy.adapters.launcher import Launcher, missing_weights
from proxy.adapters.processes import host_available_bytes
from proxy.adapters.programs import Programs
from proxy.adapters.pulse import Pulse
from proxy.adapters.scratch import Scratch
from proxy.adapters.state_files import StateFile
from proxy.adapters.supervisord import Supervisord
from proxy.core.costs import Costs
from proxy.core.figures import Learned
from proxy.core.limits import Limits
from proxy.core.probe import Answer
from proxy.core.scheduler import Scheduler
from proxy.entries import Entries, entry_of
from proxy.fleet import Fleet
from proxy.keeper import Keeper
from proxy.lifecycle.acts import Lifecycle
from proxy.lifecycle.groups import Groups, Launched
from proxy.lifecycle.launching import Launching
from proxy.lifecycle.memory import Memory
from proxy.lifecycle.starts import Starts
from proxy.lifecycle.watch import Watch
from proxy.settings import Layout, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assembled:
    """The fleet, what is only looked at, and what a new catalog is put into."""

    fleet: Fleet
    memory: Memory
    groups: Groups
    devices: Devices
    entries: Entries
    programs: Programs
    keeper: Keeper
    engine_keys: EngineKeys
    launching: Launching
    pulse: Pulse

    @property
    def device_names(self) -> list[str]:
        """Every device, as people know it."""
        return [device.name for device in self.devices.devices]


async def assemble(here: Layout, settings: Settings, catalog: Catalog, stack: AsyncExitStack) -> Assembled:
    """The fleet of `catalog` on this machine's devices; `stack` closes what it opened. Raises: DeviceError."""
    devices = await asyncio.to_thread(
        open_devices,
        limit_bytes=settings.device_memory_bytes,
        reserve_bytes=settings.device_reserve_bytes,
        budget_bytes=catalog.agents.memory_budget_bytes,
    )
    vllm = here.root / settings.vllm
    all_entries = {name: entry_of(spec, devices, vllm) for name, spec in catalog.models.items()}
    entries = Entries(all_entries.values())
    groups = Groups()
    supervisor = Supervisord(here.supervisord_socket)
    engine_keys = EngineKeys(StateFile(here.run / "engine_keys.json", dict[str, str], {}))
    control, pulse = EngineApi(engine_keys), Pulse(engine_keys)
    stack.push_async_callback(control.close)
    stack.push_async_callback(pulse.close)
    memory = Memory(
        devices=devices,
        groups=groups,
        declared=entries.declared,
        keys=entries.keys,
        learned=StateFile(here.state / "figures.json", Learned, {}),
        log_of=here.log_of,
        settle_timeout_s=settings.settle_timeout_s,
    )
    watch = Watch(
        specs=entries.specs,
        supervisor=supervisor,
        pulse=pulse,
        groups=groups,
        log_of=here.log_of,
        hang_timeout_s=settings.hang_timeout_s,
    )
    starts = Starts(here.log_of)
    launching = Launching(
        specs=entries.specs,
        programs=supervisor,
        launches=Launcher(vllm, devices, forks=settings.fork, caches=here.caches, scratch=Scratch(here.scratch)),
        memory=memory,
        watch=watch,
        groups=groups,
        launched=StateFile(here.state / "launched.json", dict[str, Launched], {}),
        keys=engine_keys,
        starts=starts,
    )
    lifecycle = Lifecycle(
        specs=entries.specs,
        supervisor=supervisor,
        control=control,
        memory=memory,
        watch=watch,
        groups=groups,
        answers=StateFile(here.state / "probes.json", dict[str, Answer], {}),
        launched=launching.launched,
        keys=entries.keys,
        choices=entries.choices,
        gate_socket=here.gate_socket,
        sleep_timeout_s=settings.sleep_timeout_s,
        starts=starts,
    )
    needs = {name: entry.needs(memory.amounts(name), catalog.agents) for name, entry in all_entries.items()}
    scheduler = Scheduler(
        devices.devices,
        needs,
        _limits(settings),
        host_bytes=_host_bytes(settings),
        now=asyncio.get_running_loop().time(),
    )
    programs = Programs(here.programs, supervisor, catalog.models)
    keeper = Keeper(
        stops=StateFile(here.state / "stopped_by_hand.json", dict[str, str], {}),
        pins=StateFile(here.state / "pinned_by_hand.json", dict[str, bool], {}),
        costs=StateFile(here.state / "costs.json", dict[str, Costs], {}),
        keys=entries.keys,
    )
    fleet = Fleet(
        entries=entries,
        programs=programs,
        scheduler=scheduler,
        lifecycle=lifecycle,
        launching=launching,
        watch=watch,
        memory=memory,
        keeper=keeper,
        preloads=[name for name, one in needs.items() if one.terms.is_preload],
        poll_interval_s=settings.poll_interval_s,
    )
    for warning in [*fleet.misfits().values(), *(await asyncio.to_thread(missing, catalog)).values()]:
        log.warning("%s", warning)
    return Assembled(fleet, memory, groups, devices, entries, programs, keeper, engine_keys, launching, pulse)


def missing(catalog: Catalog) -> dict[str, str]:
    """What is to be done, by model, about those whose weights are not there now."""
    errors_of = {name: missing_weights(spec) for name, spec in catalog.models.items()}
    return {name: error.in_full for name, error in errors_of.items() if error is not None}


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_wait_s=settings.max_wait_s,
        queue_timeout_s=settings.queue_timeout_s,
        max_queue=settings.max_queue,
        overlap=settings.overlap,
        parks=settings.park,
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
