import pytest

from proxy.core import headers
from proxy.core.headers import Incoming, for_client, request_id, without_chunks

HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Upgrade"]


def to_engine(*given: tuple[str, str]) -> list[str]:
    """The lines that the engine gets of these, without those that every request has."""
    incoming = Incoming.of_pairs([(name.encode(), value.encode()) for name, value in given])
    head = incoming.for_engine("POST /v1/x", 8100, "id", "Content-Length: 3\r\n").decode()
    lines = head.split("\r\n")
    assert lines[:4] == ["POST /v1/x HTTP/1.1", "Host: 127.0.0.1:8100", "Content-Length: 3", "X-Request-Id: id"]
    assert lines[-2:] == ["", ""]
    return lines[4:-2]


def to_client(*lines: str) -> list[str]:
    head = for_client("\r\n".join(("HTTP/1.1 200 OK", *lines)).encode(), b"X-Own: 1").decode()
    assert head.endswith("\r\nX-Own: 1\r\n\r\n")
    return head.split("\r\n")[1:-3]


@pytest.mark.parametrize(
    "name", [*HOP_BY_HOP, "Transfer-Encoding", "keep-alive", "TRANSFER-ENCODING", "Proxy-Connection"]
)
def test_what_belongs_to_one_connection_does_not_reach_the_engine(name: str) -> None:
    assert to_engine((name, "x")) == []


@pytest.mark.parametrize("name", [*HOP_BY_HOP, "keep-alive", "Proxy-Connection", "X-Request-Id", "x-rota-model"])
def test_what_belongs_to_one_connection_or_is_ours_does_not_reach_the_client(name: str) -> None:
    assert to_client("A: 1", f"{name}: x", "B: 2") == ["A: 1", "B: 2"]


@pytest.mark.parametrize("connection", ["X-Mine", "close, x-mine", " x-MINE ,close", "keep-alive,X-Mine,"])
def test_a_header_that_the_connection_header_names_is_dropped_both_ways(connection: str) -> None:
    given = [("Connection", "keep-alive"), ("X-Mine", "1"), ("X-Other", "2"), ("connection", connection)]
    assert to_engine(*given) == ["X-Other: 2"]
    assert to_client(*(f"{name}: {value}" for name, value in given)) == ["X-Other: 2"]


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Content-Length", "Content-Encoding", "Expect", "X-Agent-Type", "x-request-id", "X-Rota-Wait"),
        *("Authorization", "x-api-key"),
    ],
)
def test_what_was_true_of_the_old_request_only_does_not_reach_the_engine(name: str) -> None:
    assert to_engine((name, "x")) == []


def test_all_else_goes_through_in_order_with_its_case_and_repetitions() -> None:
    given = [("X-Own", "x"), ("accept", "a"), ("Accept", "b"), ("Content-Type", "application/json")]
    assert to_engine(*given) == [f"{name}: {value}" for name, value in given]
    answered = ["Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Encoding: gzip", "content-length: 3", "X-TE: 1"]
    assert to_client(*answered) == answered


def test_chunks_stay_unless_the_client_cannot_have_them() -> None:
    assert to_client("transfer-encoding: chunked") == ["transfer-encoding: chunked"]
    assert without_chunks(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1") == b"HTTP/1.1 200 OK\r\nA: 1"


def test_an_engine_of_http_1_0_is_answered_for_in_1_1() -> None:
    assert for_client(b"HTTP/1.0 200 OK", b"A: 1").startswith(b"HTTP/1.1 200 OK\r\n")


def test_several_of_one_name_are_told_together() -> None:
    incoming = Incoming.of_pairs([(b"X-Agent-Type", b"Chat"), (b"x-agent-type", b"Claims")])
    assert incoming.text(b"x-agent-type") == "Chat, Claims"
    assert incoming.text(b"x-rota-wait") is None


SANE = ["a", "550e8400-e29b", "00-4bf92f3577b34da6-01", "/v1/x", "aGVsbG8/+w==", "~" * 128]
NOT_SANE = ["", "x" * 129, "two words", "a,b", "'a'", "{a}", "a\nb", "a\rb", "a\tb", "a\0", "é", "\x7f", "\u2028"]


@pytest.mark.parametrize("given", SANE)
def test_a_sane_request_id_of_the_clients_is_kept(given: str) -> None:
    assert request_id({headers.REQUEST_ID: given}) == given
    assert Incoming.of_pairs([(b"X-Request-ID", given.encode())]).request_id() == given


@pytest.mark.parametrize("given", NOT_SANE)
def test_a_request_id_that_could_break_a_log_or_say_something_is_none(given: str) -> None:
    assert request_id({headers.REQUEST_ID: given}) is None
    assert Incoming.of_pairs([(b"X-Request-ID", given.encode())]).request_id() is None


def test_without_a_request_id_there_is_none() -> None:
    assert request_id({}) is None
    assert Incoming([]).request_id() is None
