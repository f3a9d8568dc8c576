"""Scrapes of a real proxy with fake engines: what they tell, and that they wake nothing."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.web.metrics import _merged
from tests.installation import Installation

Samples = dict[tuple[str, ...], float]


def told(text: str, *names: str) -> Samples:
    """Samples by their name and the values of the labels `names`."""
    made: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(sample.labels.get(name, "") for name in names))
            made[key] = made.get(key, 0.0) + sample.value
    return made


def scrape(service: Installation, path: str = "/metrics") -> str:
    got = httpx.get(f"{service.url}{path}", trust_env=False, timeout=20)
    assert got.status_code == 200
    assert got.headers["Content-Type"].startswith("text/plain; version=")
    return got.text


def test_a_swap_is_seen_in_the_metrics_and_a_scrape_wakes_nothing(service: Installation) -> None:
    assert told(scrape(service), "model", "state")["rota_engine_state", "a", "stopped"] == 1
    assert service.chat(model="a").status_code == 200
    assert service.chat(model="b").status_code == 200, "there is room for one of the two"
    assert service.chat(model="broken").status_code == 503
    text = scrape(service)
    acts = told(text, "model", "act", "outcome")
    assert acts["rota_acts_total", "a", "start", "ok"] == 1
    assert acts["rota_acts_total", "broken", "start", "failed"] == 1
    assert told(text, "model", "cause")["rota_evictions_total", "a", "room"] == 1
    assert told(text, "model", "act")["rota_act_seconds_count", "a", "start"] == 1
    requests = told(text, "model", "status", "outcome")
    assert requests["rota_requests_total", "b", "200", "answered"] == 1
    assert requests["rota_requests_total", "broken", "503", "refused"] == 1
    assert told(text, "model")["rota_leases", "b"] == 0
    [device] = {key[1] for key in told(text, "device") if key[0] == "rota_device_capacity_bytes"}
    assert told(text, "device", "holder")["rota_device_reserved_bytes", device, "strangers"] >= 0
    assert told(text)["process_resident_memory_bytes",] > 0
    states = told(scrape(service), "model", "state")
    assert states["rota_engine_state", "a", "stopped"] + states["rota_engine_state", "a", "stopping"] == 1


def test_the_engines_own_metrics_are_gathered_with_their_model(service: Installation) -> None:
    assert service.chat(model="b").status_code == 200
    samples = told(scrape(service, "/metrics/engines"), "model")
    assert samples["rota_engine_up", "b"] == 1
    assert ("vllm:num_requests_running", "b") in samples
    assert ("rota_engine_up", "a") not in samples, "what is down is not asked"


ONE = '# HELP x_total What\n# TYPE x_total counter\nx_total{model_name="m"} 1.0\n'
TWO = "# HELP x_total What\n# TYPE x_total counter\nx_total 2.0\n# TYPE y gauge\ny 3\n"


def test_families_of_one_name_are_together_and_who_is_silent_is_told(service: Installation) -> None:
    text = _merged({"a": ONE, "b": TWO, "c": None, "d": "no metrics {"}).decode()
    assert text.count("# TYPE x_total counter") == 1
    samples = told(text, "model", "model_name")
    assert samples["x_total", "a", "m"] == 1
    assert samples["x_total", "b", ""] == 2
    assert samples["y", "b", ""] == 3
    assert [samples["rota_engine_up", model, ""] for model in "abcd"] == [1, 1, 0, 0]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/engines"])
def test_they_are_only_looked_at(service: Installation, path: str) -> None:
    assert httpx.post(f"{service.url}{path}", trust_env=False).status_code == 405
