"""Keeps what must outlive the proxy: what people stopped and pinned by hand, and what acts on each engine take.

Rule: what a person did is on the disk before anybody is answered; what acts take is written in the background, since a
figure that is lost costs an estimate only.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from proxy.adapters.state_files import StateFile
from proxy.core import messages
from proxy.core.costs import Costs
from proxy.core.messages import Event
from proxy.core.scheduler import Scheduler


class Keeper:
    """`keys` names what the figures of a model hold for: itself, its vLLM version and its flags."""

    def __init__(
        self,
        *,
        stops: StateFile[dict[str, str]],
        pins: StateFile[dict[str, bool]],
        costs: StateFile[dict[str, Costs]],
        keys: Mapping[str, str],
    ) -> None:
        self._stops_file = stops
        self._pins_file = pins
        self._costs_file = costs
        self._keys = keys
        self._in_order = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")
        """One thread, so that an older figure is never written after a newer one."""
        self.on_stop: Callable[[str, str], None] | None = None
        """Told the model, and who has stopped it by hand, in words, in whatever way."""
        self._stops: dict[str, str] = {}
        self._pins: dict[str, bool] = {}
        self._costs: dict[str, Costs] = {}

    def __repr__(self) -> str:
        return f"<Keeper {len(self._stops)} stops, {len(self._costs)} costs>"

    def remembered(self) -> list[Event]:
        """What was kept, as events, for models that there still are; to be called once."""
        self._stops, self._costs = self._stops_file.read(), self._costs_file.read()
        self._pins = self._pins_file.read()
        costs = [
            messages.CostsRemembered(model, self._costs[key].kept())
            for model, key in self._keys.items()
            if key in self._costs
        ]
        pins = [messages.PinSet(model, is_pinned) for model, is_pinned in self._pins.items() if model in self._keys]
        return [*costs, *pins, *(messages.StopRemembered(model, who) for model, who in self._stops.items())]

    def costs_of(self, key: str) -> Costs:
        """What is known under `key` of what acts take."""
        return self._costs[key].kept() if key in self._costs else Costs()

    def keep(self, scheduler: Scheduler) -> None:
        """Keep what the last event has changed."""
        if (stops := scheduler.stopped_by_hand()) != self._stops:
            new = [(model, who) for model, who in stops.items() if self._stops.get(model) != who]
            self._stops = stops
            self._stops_file.write(stops)
            if self.on_stop is not None:
                for model, who in new:
                    self.on_stop(model, who)
        if (pins := scheduler.pins()) != self._pins:
            self._pins = pins
            self._pins_file.write(pins)
        if learned := scheduler.learned_costs():
            self._costs |= {self._keys[model]: costs for model, costs in learned.items()}
            self._in_order.submit(self._costs_file.write, dict(self._costs))
