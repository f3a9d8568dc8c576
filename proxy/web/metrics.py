"""`/metrics`: what the proxy has counted and how things stand, for Prometheus; `/metrics/engines`: what engines count.

Rule: a scrape wakes nothing, and an engine that does not answer costs only its own part.
"""

import asyncio
from collections.abc import Iterable, Iterator

import httpx
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from proxy.assembly import Assembled
from proxy.audit import Audit
from proxy.core.states import AWAKE, EngineState
from proxy.traffic import Traffic

ENGINE_TIMEOUT_S = 2.0
UP = "rota_engine_up"


class FleetCollector(Collector):
    """How the fleet stands, and what its engines did."""

    def __init__(self, parts: Assembled, audit: Audit | None) -> None:
        self._fleet = parts.fleet
        self._audit = audit

    def __repr__(self) -> str:
        return f"<FleetCollector of {self._fleet!r}>"

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        yield from self._engines()
        yield from self._memory()
        yield from self._acts()
        if self._audit is not None:
            lost = CounterMetricFamily("rota_audit_lost", "Lines of the audit that could not be written")
            lost.add_metric((), self._audit.lost)
            yield lost

    def _engines(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("rota_engine_state", "1 for the state that it is in", labels=("model", "state"))
        leases = GaugeMetricFamily("rota_leases", "Requests that an engine serves", labels=("model",))
        waiting = GaugeMetricFamily("rota_queue_depth", "Requests that wait for an engine", labels=("model",))
        oldest = GaugeMetricFamily("rota_queue_oldest_seconds", "The longest wait of them", labels=("model",))
        crashes = CounterMetricFamily("rota_engine_crashes", "Ends that nobody asked for", labels=("model",))
        for view in self._fleet.view():
            for one in EngineState:
                state.add_metric((view.model, one), float(view.state is one))
            leases.add_metric((view.model,), view.leases)
            waiting.add_metric((view.model,), view.waiting)
            oldest.add_metric((view.model,), view.oldest_wait_s)
            crashes.add_metric((view.model,), view.crashes)
        yield from (state, leases, waiting, oldest, crashes)

    def _memory(self) -> Iterator[Metric]:
        ledger = self._fleet.ledger
        held = GaugeMetricFamily(
            "rota_device_reserved_bytes", "Memory of a device by its holder", labels=("device", "holder")
        )
        capacity = GaugeMetricFamily("rota_device_capacity_bytes", "What models may use of it", labels=("device",))
        free = GaugeMetricFamily("rota_device_free_bytes", "What nobody holds of that", labels=("device",))
        pinned = GaugeMetricFamily("rota_host_pinned_bytes", "Host memory that a sleeper pins", labels=("model",))
        parked = GaugeMetricFamily("rota_host_parked_bytes", "Host memory of a parked process", labels=("model",))
        for device, known in ledger.devices.items():
            for model, reserved in ledger.reservations(device).items():
                held.add_metric((device, model), float(reserved))
            held.add_metric((device, "strangers"), float(ledger.strangers(device).bytes))
            capacity.add_metric((device,), known.capacity_bytes)
            free.add_metric((device,), ledger.free_bytes(device))
        for model, pinned_bytes in ledger.pinned.items():
            pinned.add_metric((model,), pinned_bytes)
        for view in self._fleet.view():
            if view.parked_bytes:
                parked.add_metric((view.model,), view.parked_bytes)
        yield from (held, capacity, free, pinned, parked)

    def _acts(self) -> Iterator[Metric]:
        tally = self._fleet.tally
        acts = CounterMetricFamily(
            "rota_acts", "Starts, wakes, sleeps and stops that have ended", labels=("model", "act", "outcome")
        )
        took = HistogramMetricFamily("rota_act_seconds", "How long those took that went well", labels=("model", "act"))
        evictions = CounterMetricFamily("rota_evictions", "Engines told to leave", labels=("model", "cause"))
        for key, count in tally.acts.items():
            acts.add_metric(key, count)
        for pair, histogram in tally.took.items():
            took.add_metric(pair, histogram.buckets(), histogram.sum_s)
        for pair, count in tally.evictions.items():
            evictions.add_metric(pair, count)
        yield from (acts, took, evictions)


class Metrics:
    """Answers scrapes."""

    def __init__(
        self, parts: Assembled, traffic: Traffic, client: httpx.AsyncClient, audit: Audit | None = None
    ) -> None:
        self._parts = parts
        self._client = client
        self._registry = CollectorRegistry()
        for collector in (traffic, FleetCollector(parts, audit)):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def __repr__(self) -> str:
        return f"<Metrics of {self._parts.fleet!r}>"

    def routes(self) -> list[web.RouteDef]:
        """For both applications."""
        return [web.get("/metrics", self.own), web.get("/metrics/engines", self.engines)]

    async def own(self, _: web.Request) -> web.Response:
        """The proxy's own metrics."""
        return _text(generate_latest(self._registry))

    async def engines(self, _: web.Request) -> web.Response:
        """The metrics of all engines that are awake, each sample with the label `model`."""
        awake = [view.model for view in self._parts.fleet.view() if view.state in AWAKE]
        texts = await asyncio.gather(*(self._scrape(model) for model in awake))
        merged = await asyncio.to_thread(_merged, dict(zip(awake, texts, strict=True)))
        return _text(merged)

    async def _scrape(self, model: str) -> str | None:
        port = self._parts.entries.specs[model].port
        try:
            async with asyncio.timeout(ENGINE_TIMEOUT_S):
                headers = self._parts.engine_keys.headers(model)
                response = await self._client.get(f"http://127.0.0.1:{port}/metrics", headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return None
        return response.text if response.status_code == httpx.codes.OK else None


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _merged(texts: dict[str, str | None]) -> bytes:
    """One exposition of many: families of one name together, each sample with its model."""
    up = GaugeMetricFamily(UP, "Whether the engine has told its metrics", labels=("model",))
    families: dict[str, Metric] = {UP: up}
    for model, text in texts.items():
        try:
            told = [] if text is None else list(text_string_to_metric_families(text))
        except ValueError:
            text, told = None, []
        up.add_metric((model,), float(text is not None))
        for family in told:
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
            into.samples += [sample._replace(labels=sample.labels | {"model": model}) for sample in family.samples]
    registry = CollectorRegistry()
    registry.register(_Merged(families.values()))
    return generate_latest(registry)


def _text(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
