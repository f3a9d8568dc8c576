import pytest

from proxy.core import headers
from proxy.core.headers import for_client, for_engine, request_id

HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]


@pytest.mark.parametrize("name", [*HOP_BY_HOP, "keep-alive", "TRANSFER-ENCODING", "Proxy-Connection"])
def test_what_belongs_to_one_connection_goes_neither_way(name: str) -> None:
    assert for_engine([(name, "x")], "id") == [("X-Request-Id", "id")]
    assert for_client([(name, "x")]) == []


@pytest.mark.parametrize("connection", ["X-Mine", "close, x-mine", " x-MINE ,close", "keep-alive,X-Mine,"])
def test_a_header_that_the_connection_header_names_is_dropped_both_ways(connection: str) -> None:
    given = [("Connection", "keep-alive"), ("X-Mine", "1"), ("X-Other", "2"), ("connection", connection)]
    assert for_engine(given, "id") == [("X-Other", "2"), ("X-Request-Id", "id")]
    assert for_client(given) == [("X-Other", "2")]


@pytest.mark.parametrize(
    "name", ["Host", "Content-Length", "Content-Encoding", "Expect", "X-Agent-Type", "x-request-id"]
)
def test_what_was_true_of_the_old_request_only_does_not_reach_the_engine(name: str) -> None:
    assert for_engine([(name, "x")], "id") == [("X-Request-Id", "id")]


def test_all_else_goes_through_in_order_with_its_case_and_repetitions() -> None:
    given = [("Authorization", "Bearer x"), ("accept", "a"), ("Accept", "b"), ("Content-Type", "application/json")]
    assert for_engine(given, "id") == [*given, ("X-Request-Id", "id")]
    answered = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Encoding", "gzip"), ("Content-Length", "3")]
    assert for_client(answered) == answered


def test_the_engine_gets_one_request_id_and_the_client_none_from_the_engine() -> None:
    sent = for_engine([("X-Request-ID", "theirs"), ("x-request-id", "again")], "ours")
    assert sent == [("X-Request-Id", "ours")]
    assert for_client([("X-Request-Id", "engine's")]) == []


@pytest.mark.parametrize("given", ["a", "550e8400-e29b", "with space", "~" * 200])
def test_a_sane_request_id_of_the_clients_is_kept(given: str) -> None:
    assert request_id({headers.REQUEST_ID: given}, "made") == given


@pytest.mark.parametrize("given", ["", "x" * 201, "a\nb", "a\rb", "a\tb", "a\0", "é", "\x7f", "\u2028"])
def test_a_request_id_that_could_break_a_log_is_replaced(given: str) -> None:
    assert request_id({headers.REQUEST_ID: given}, "made") == "made"


def test_without_a_request_id_one_is_made() -> None:
    assert request_id({}, "made") == "made"
