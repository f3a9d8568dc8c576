"""Watches what is held on the devices: by engines, which corrects their amounts, and by strangers.

It also waits at the barrier after a stop or a sleep until the memory has come back and settled. What is missing after
its time limit is said, with who holds it; the ledger then finds it among the strangers' memory, so that nothing is
overdrawn.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from catalog.spec import GIB
from proxy.adapters import logs, processes
from proxy.adapters.state_files import StateFile
from proxy.core import figures, messages
from proxy.core.attribution import Attribution, attribute
from proxy.core.devices import Amounts, Device, DeviceError, DeviceKind, DeviceUse, Placing
from proxy.core.figures import Figures, Learned
from proxy.core.messages import Event
from proxy.core.states import EngineState
from proxy.lifecycle.groups import Groups

log = logging.getLogger(__name__)

SETTLE_POLL_S = 0.1
TOLERANCE_BYTES = 64 * 2**20
"""Differences between two looks that are nobody's news: drivers keep small caches."""

LEAVE_GIVEN = "leave given: "
"""What `bin/engine` prints when it becomes vLLM: what follows in the log is of this start."""


class DeviceReader(Protocol):
    """Who sees the devices."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """All of them."""

    def look(self, engine_pids: Collection[int]) -> list[DeviceUse]:
        """What is used on each now. Raises: DeviceError."""


@dataclass(frozen=True, slots=True)
class Before:
    """What was seen of one engine's device before it was to give memory back."""

    used_bytes: int
    hidden_bytes: int
    measured_bytes: int | None
    assumed_bytes: int

    @property
    def held_bytes(self) -> int:
        """What the engine held, measured or assumed."""
        return self.assumed_bytes if self.measured_bytes is None else self.measured_bytes

    def missing(self, use: DeviceUse, told: Attribution, model: str, keeps_bytes: int) -> int:
        """Bytes that have not come back yet, if the engine may keep `keeps_bytes`."""
        if self.measured_bytes is None:
            return self.assumed_bytes - keeps_bytes - (self.used_bytes - use.used_bytes)
        # Measured: its own pids tell. Once they are gone, memory that the driver still holds shows as hidden.
        return max(told.measured.get(model, 0) - keeps_bytes, told.hidden_bytes - self.hidden_bytes)


class Memory:
    """The devices' memory, engine by engine. `declared` is by model, and `keys`, under which figures are kept, too."""

    def __init__(
        self,
        *,
        devices: DeviceReader,
        groups: Groups,
        declared: Mapping[str, Amounts],
        keys: Mapping[str, str],
        learned: StateFile[Learned],
        log_of: Callable[[str], Path],
        settle_timeout_s: float,
    ) -> None:
        self._devices = devices
        self._kinds = {device.id: device.kind for device in devices.devices}
        self._names = {device.id: device.name for device in devices.devices}
        self._groups = groups
        self._declared = declared
        self._keys = keys
        self._file = learned
        self._learned = learned.read()
        self._log_of = log_of
        self._settle_timeout_s = settle_timeout_s
        self._uses: dict[str, DeviceUse] = {}
        self._told: dict[str, Attribution] = {}
        self._pids: Mapping[int, str] = {}
        self._reserved: Mapping[str, Placing] = {}
        self._is_blind = False

    def __repr__(self) -> str:
        return f"<Memory of {', '.join(self._names.values())}>"

    @property
    def device_ids(self) -> list[str]:
        """All devices, by id."""
        return list(self._kinds)

    # --- figures --------------------------------------------------------------------------------------------------

    def learned(self, model: str) -> Figures:
        """What was measured of `model`, in this and earlier lives."""
        return self._learned.get(self._keys[model], Figures())

    def declared(self, model: str) -> Amounts:
        """What the catalog says of `model`, estimates included."""
        return self._declared[model]

    def amounts(self, model: str) -> Amounts:
        """What to reserve for `model`, from both."""
        return self.amounts_of(self._declared[model], self._keys[model])

    def amounts_of(self, declared: Amounts, key: str) -> Amounts:
        """What to reserve where so much is declared, and figures are kept under `key`."""
        return figures.amounts(declared, self._learned.get(key, Figures()))

    def held_bytes(self, model: str) -> dict[str, int]:
        """What `model` holds on each device, as of the last look."""
        if model not in self._groups:
            return {}  # the last look may be older than its end
        told = {device: one.held_bytes(model) for device, one in self._told.items()}
        return {device: held for device, held in told.items() if held}

    async def read_log(self, model: str) -> list[Event]:
        """Learn from what vLLM said of its memory while it started, where it measured it itself."""
        text = await asyncio.to_thread(logs.since, self._log_of(model), LEAVE_GIVEN)
        said = figures.from_log(text)
        return [] if said is None else await self._learn(model, figures.merge(self.learned(model), said))

    async def learn_asleep(self, model: str) -> list[Event]:
        """Learn from the last look, as the engine has just fallen asleep, what it keeps."""
        return await self._observe(model, EngineState.ASLEEP, self._groups.devices_of(model))

    async def learn_pinned(self, model: str, host_bytes: int) -> list[Event]:
        """Learn what a level-1 sleep took of the host's memory."""
        return await self._learn(model, replace(self.learned(model), sleep_host_bytes=host_bytes))

    async def _learn(self, model: str, new: Figures) -> list[Event]:
        if new == self.learned(model):
            return []
        before = self.amounts(model)
        self._learned[self._keys[model]] = new
        await asyncio.to_thread(self._file.write, dict(self._learned))  # a copy: others learn meanwhile
        if self.amounts(model) == before:
            return []
        log.info("%s: takes, as measured, %s", model, _in_words(self.amounts(model)))
        return [messages.AmountsLearned(model, self.amounts(model))]

    # --- the watch ------------------------------------------------------------------------------------------------

    async def look(self, states: Mapping[str, EngineState], placings: Mapping[str, Placing]) -> list[Event]:
        """One look at all devices: who the strangers are, and what the engines take."""
        self._reserved = placings
        if not await self._see():
            return []
        events = [self._strangers()]
        for model, placing in placings.items():
            events += await self._observe(model, states[model], placing.devices)
        return events

    async def _observe(self, model: str, state: EngineState, devices: tuple[str, ...]) -> list[Event]:
        """Learn what `model` holds, if the driver says so of each GPU that it is on."""
        held = [self._told[device].measured.get(model) for device in devices if device in self._told]
        known = [one for one in held if one is not None]
        if len(known) < len(devices) or any(self._kinds[device] is DeviceKind.CPU for device in devices):
            return []
        rounded = -(-max(known, default=0) // TOLERANCE_BYTES) * TOLERANCE_BYTES  # up: small changes are no news
        return await self._learn(model, figures.observe(self.learned(model), state=state, held_bytes=rounded))

    async def _see(self) -> bool:
        """Take one look; False where the driver does not answer, and the last look stands."""
        try:
            pids, uses = await asyncio.to_thread(self._read)
        except DeviceError as error:
            if not self._is_blind:
                log.warning("the devices cannot be read, the last look stands: %s", error)
            self._is_blind = True
            return False
        self._is_blind = False
        self._pids = pids
        self._uses = {**self._uses, **{use.device: use for use in uses}}
        self._attribute()
        return True

    def _attribute(self) -> None:
        for device, use in self._uses.items():
            reserved = {model: one.bytes for model, one in self._reserved.items() if device in one.devices}
            self._told[device] = attribute(use, self._pids, reserved)

    def _strangers(self) -> Event:
        return messages.StrangersSeen({device: one.strangers for device, one in self._told.items()})

    def note_gone(self, model: str) -> Event:
        """`model` holds nothing any more: whatever of its memory has not come back is a stranger's from now on."""
        self._reserved = {one: placing for one, placing in self._reserved.items() if one != model}
        self._attribute()
        return self._strangers()

    def _read(self) -> tuple[dict[int, str], list[DeviceUse]]:
        groups = self._groups.model_of()
        pids = {one.pid: groups[one.group] for one in processes.engine_processes() if one.group in groups}
        return pids, self._devices.look(pids)

    # --- the barrier ----------------------------------------------------------------------------------------------

    def before(self, model: str, devices: tuple[str, ...]) -> dict[str, Before]:
        """What is held before `model` gives memory back: to be handed to `settle`. Only devices that can tell."""
        return {
            device: Before(
                self._uses[device].used_bytes,
                self._told[device].hidden_bytes,
                self._told[device].measured.get(model),
                self._told[device].assumed.get(model, 0),
            )
            for device in devices
            if device in self._told and self._kinds[device] is not DeviceKind.CPU
        }

    async def settle(self, model: str, before: Mapping[str, Before], keeps_bytes: int = 0) -> str | None:
        """Wait until the memory has come back and stays so for two looks; at last say what is missing, in words."""
        deadline = _now() + self._settle_timeout_s
        last: dict[str, int] = {}
        while before:
            is_seen = await self._see()
            used = {device: self._uses[device].used_bytes for device in before}
            missing = {
                device: was.missing(self._uses[device], self._told[device], model, keeps_bytes)
                for device, was in before.items()
            }
            is_back = is_seen and all(amount <= TOLERANCE_BYTES for amount in missing.values())
            if is_back and all(abs(used[device] - last.get(device, -1)) <= TOLERANCE_BYTES for device in used):
                return None
            last = used
            if _now() > deadline:
                return "; ".join(self._missing(device, amount) for device, amount in missing.items() if amount > 0)
            await asyncio.sleep(SETTLE_POLL_S)
        return None

    def _missing(self, device: str, amount: int) -> str:
        who = self._told[device].strangers
        return f"{amount / GIB:.2f} GiB of {self._names[device]} have not come back; held by {who}"


def _in_words(amounts: Amounts) -> str:
    return (
        f"{amounts.peak_bytes / GIB:.2f} GiB while it starts, {amounts.awake_bytes / GIB:.2f} awake, "
        f"{amounts.asleep_bytes / GIB:.2f} asleep, and {amounts.sleep_host_bytes / GIB:.2f} of the host asleep"
    )


def _now() -> float:
    return time.monotonic()
