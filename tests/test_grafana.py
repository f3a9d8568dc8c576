"""The dashboard and the alert rules use metrics that there are, with labels that those have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.installation import CHECKOUT

GRAFANA = CHECKOUT / "docs" / "grafana"
SOURCE = "".join((CHECKOUT / "proxy" / name).read_text() for name in ("traffic.py", "web/metrics.py"))
LABELS = {
    "instance",  # Prometheus' own
    "outcome",
    "agent_type",
    "model",
    "state",
    "act",
    "cause",
    "device",
    "holder",
    "status",
    "endpoint",
    "le",
    "job",
}


def there_are() -> Iterator[str]:
    """The names of all samples."""
    for kind, name in re.findall(r"(Counter|Gauge|Histogram)MetricFamily\(\s*\"(rota_\w+)\"", SOURCE):
        match kind:
            case "Counter":
                yield f"{name}_total"
            case "Gauge":
                yield name
            case _:
                yield from (f"{name}_{part}" for part in ("bucket", "sum", "count"))


def expressions() -> Iterator[tuple[str, str]]:
    for panel in json.loads((GRAFANA / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_there_is(where: str, expression: str) -> None:
    assert set(re.findall(r"\brota_\w+", expression)) <= set(there_are())
    for labels in re.findall(r"\{([^}]*)\}|\b(?:by|on) \(([^)]*)\)", expression):
        assert {part.strip().split("=")[0] for part in ",".join(filter(None, labels)).split(",")} <= LABELS
    assert expression.count("(") == expression.count(")")


def test_every_metric_of_the_proxy_is_shown_or_watched() -> None:
    used = {name for _, expression in expressions() for name in re.findall(r"\brota_\w+", expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there_are()}
    seldom = {"rota_host_pinned_bytes", "rota_host_parked_bytes", "rota_wait_seconds"}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} | seldom >= families


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"].keys() == {"summary", "description"}


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(Path(GRAFANA / "dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
