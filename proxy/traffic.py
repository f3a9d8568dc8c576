"""What has passed through, in numbers: kept by the data plane, turned into Prometheus' metrics when somebody asks.

Rule: counting costs a request about a microsecond; so plain numbers are kept here, and the library's objects are made
of them at a scrape. Labels are names of the catalog and of the endpoints' table, never what a client made up.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.core.histogram import Histogram


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    """By its engine, whatever status that gave."""
    REFUSED = "refused"
    """With an error of the proxy's own."""
    ERROR_AFTER_WAIT = "error_after_wait"
    """The same, as an event in a stream that had begun."""
    CLIENT_LEFT = "client_left"
    ENGINE_FAILED = "engine_failed"
    """The engine ended, or spoke no HTTP, while it had the request."""
    PROXY_LEFT = "proxy_left"
    """The proxy went away before the answer was whole."""


class Series:
    """One combination of labels."""

    __slots__ = ("bytes_in", "bytes_out", "duration", "events", "first_byte", "requests", "wait")

    def __init__(self) -> None:
        self.requests = self.bytes_in = self.bytes_out = self.events = 0
        self.wait, self.first_byte, self.duration = Histogram(), Histogram(), Histogram()

    def __repr__(self) -> str:
        return f"<Series {self.requests} requests>"


LABELS = ("endpoint", "model", "agent_type", "status", "outcome")


class Traffic(Collector):
    """Counts requests as they end."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str, int, str], Series] = {}

    def __repr__(self) -> str:
        return f"<Traffic {len(self._series)} series>"

    def passed(
        self,
        endpoint: str,
        model: str,
        agent_type: str,
        status: int,
        outcome: Outcome,
        *,
        waited_s: float | None,
        first_byte_s: float | None,
        total_s: float,
        bytes_in: int,
        bytes_out: int,
        events: int,
    ) -> None:
        """A request has ended.

        `waited_s` is for its lease, if it asked for one, `first_byte_s` to the engine's head, `total_s` in all.
        """
        key = (endpoint, model, agent_type, status, outcome)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        series.requests += 1
        series.bytes_in += bytes_in
        series.bytes_out += bytes_out
        series.events += events
        series.duration.add(total_s)
        if waited_s is not None:
            series.wait.add(waited_s)
        if first_byte_s is not None:
            series.first_byte.add(first_byte_s)

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        yield from self._counters()
        yield from self._histograms()

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("rota_requests", "Requests that have ended", labels=LABELS)
        received = CounterMetricFamily("rota_request_bytes", "Bytes of bodies sent on to engines", labels=LABELS)
        sent = CounterMetricFamily("rota_response_bytes", "Bytes of bodies sent to clients", labels=LABELS)
        events = CounterMetricFamily("rota_stream_events", "Server-sent events passed on", labels=LABELS)
        for key, series in self._series.items():
            labels = [str(label) for label in key]
            requests.add_metric(labels, series.requests)
            received.add_metric(labels, series.bytes_in)
            sent.add_metric(labels, series.bytes_out)
            events.add_metric(labels, series.events)
        yield from (requests, received, sent, events)

    def _histograms(self) -> Iterator[Metric]:
        names = ("endpoint", "model")
        wait = HistogramMetricFamily("rota_wait_seconds", "Wait for a lease of an engine", labels=names)
        first = HistogramMetricFamily("rota_first_byte_seconds", "From a request to its engine's head", labels=names)
        whole = HistogramMetricFamily("rota_request_seconds", "From a request to its end", labels=names)
        merged: dict[tuple[str, str], Series] = {}
        for (endpoint, model, *_), series in self._series.items():
            into = merged.setdefault((endpoint, model), Series())
            for name in ("wait", "first_byte", "duration"):
                getattr(into, name).merge(getattr(series, name))
        for key, series in merged.items():
            for family, histogram in ((wait, series.wait), (first, series.first_byte), (whole, series.duration)):
                family.add_metric(key, histogram.buckets(), histogram.sum_s)
        yield from (wait, first, whole)
