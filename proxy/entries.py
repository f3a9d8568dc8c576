"""What is known of each model now, from its entry in the catalog; shared by all who look after engines.

Rule: an entry counts for as long as a process runs that was launched by it. A changed one waits until the scheduler
says that the old process is gone (`use`), unless it would be launched just so.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.amounts import declared, sleep_levels_of
from catalog.render import answers_as, identity
from catalog.spec import Agents, ModelSpec
from proxy.adapters.devices import Devices
from proxy.adapters.vllm_version import version_of
from proxy.core.choices import choices, unknown
from proxy.core.devices import Amounts, Device, DeviceKind
from proxy.core.figures import figures_key
from proxy.core.roster import EngineNeeds
from proxy.core.terms import terms_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: its spec, what that declares, the sets of devices it may have, the key its figures are kept under.

    `tell` says what the audit calls it, by the files as they are then: another chat template is another one, though it
    takes the same memory.
    """

    spec: ModelSpec
    declared: Amounts
    choices: tuple[tuple[str, ...], ...]
    sleep_levels: tuple[int, ...]
    key: str
    tell: Callable[[], str] = str

    def needs(self, amounts: Amounts, agents: Agents) -> EngineNeeds:
        """What the scheduler must know, where `amounts` is to be reserved and `agents` are routed."""
        return EngineNeeds(
            amounts=amounts,
            choices=self.choices,
            start_timeout_s=self.spec.start_timeout_s,
            sleep_levels=self.sleep_levels,
            terms=terms_of(self.spec, agents.agent_types.values()),
        )


class Entries:
    """The entries that count now, taken apart by what each who looks wants to know; live, to be read only."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.specs: dict[str, ModelSpec] = {}
        self.declared: dict[str, Amounts] = {}
        self.choices: dict[str, tuple[tuple[str, ...], ...]] = {}
        self.keys: dict[str, str] = {}
        self.told_as: dict[str, str] = {}
        self._entries: dict[str, Entry] = {}
        self._next: dict[str, Entry] = {}
        for entry in entries:
            self.put(entry)

    def __repr__(self) -> str:
        return f"<Entries {len(self.specs)} models, {len(self._next)} to come>"

    def put(self, entry: Entry) -> None:
        """From now on `entry` counts."""
        model = entry.spec.name
        self._next.pop(model, None)
        self.specs[model], self.declared[model] = entry.spec, entry.declared
        self.choices[model], self.keys[model], self.told_as[model] = entry.choices, entry.key, entry.tell()
        self._entries[model] = entry

    def put_next(self, entry: Entry) -> None:
        """`entry` counts once the process is gone that was launched by the one before."""
        self._next[entry.spec.name] = entry

    def launched(self, model: str) -> None:
        """Its engine starts: its chat template and vLLM may have been changed since."""
        if (entry := self._entries.get(model)) is not None:
            self.told_as[model] = entry.tell()

    def use(self, model: str) -> None:
        """That process is gone."""
        if (entry := self._next.get(model)) is not None:
            self.put(entry)


def entry_of(spec: ModelSpec, devices: Devices, vllm: Path) -> Entry:
    """The entry of `spec` on this machine; `vllm` is the executable for specs that name none."""
    for name in unknown(devices.devices, spec.devices):
        known = ", ".join(f"{device.name} ({device.id})" for device in devices.devices)
        log.warning("%s: there is no device '%s', or more than one; there are: %s", spec.name, name, known)
    levels = sleep_levels_of(spec, any(device.kind is not DeviceKind.CPU for device in devices.devices))
    executable = Path(spec.vllm) if spec.vllm else vllm

    def tell() -> str:
        return figures_key(spec.name, version_of(executable), answers_as(spec, bool(levels), _template_of(spec)))

    return Entry(
        spec=spec,
        declared=declared_on(spec, devices.devices),
        choices=choices(devices.devices, spec.devices, spec.device_count),
        sleep_levels=levels,
        key=figures_key(spec.name, version_of(executable), identity(spec, bool(levels))),
        tell=tell,
    )


def _template_of(spec: ModelSpec) -> str:
    """What stands in its chat template now; empty where there is none, or it cannot be read: vLLM says that."""
    if spec.chat_template is None:
        return ""
    try:
        return Path(spec.chat_template).read_text(errors="replace")
    except OSError:
        return ""


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
