from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.traffic import Outcome, Traffic

CHAT = "/v1/chat/completions"


def passed(traffic: Traffic, status: int = 200, outcome: Outcome = Outcome.ANSWERED, **more: float | None) -> None:
    figures = {"waited_s": 0.0, "first_byte_s": 0.02, "total_s": 0.5, "bytes_in": 10, "bytes_out": 20, "events": 3}
    traffic.passed(CHAT, "a", "Chat", status, outcome, **(figures | more))  # type: ignore[arg-type]


def samples(traffic: Traffic) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(traffic)
    told = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = [sample.labels[name] for name in ("le", "status", "outcome") if name in sample.labels]
            told[" ".join((sample.name, *labels))] = sample.value
    return told


def test_requests_are_counted_by_how_they_ended_and_timed() -> None:
    traffic = Traffic()
    passed(traffic)
    passed(traffic)
    passed(traffic, 503, Outcome.REFUSED, waited_s=600.0, first_byte_s=None, total_s=600.0, bytes_out=0, events=0)
    told = samples(traffic)
    assert told["rota_requests_total 200 answered"] == 2
    assert told["rota_requests_total 503 refused"] == 1
    assert told["rota_stream_events_total 200 answered"] == 6
    assert (told["rota_request_bytes_total 200 answered"], told["rota_response_bytes_total 200 answered"]) == (20, 40)
    assert (told["rota_wait_seconds_bucket 0.005"], told["rota_wait_seconds_bucket +Inf"]) == (2, 3)
    assert told["rota_first_byte_seconds_count"] == 2, "who was refused had none"
    assert told["rota_request_seconds_sum"] == 601.0
