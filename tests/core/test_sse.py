import json

import pytest

from proxy.core import sse
from proxy.core.endpoints import Form
from proxy.core.errors import QueueFull, WaitedTooLong


def test_a_comment_is_one_line_that_readers_skip() -> None:
    assert sse.comment("waiting\nfor a\r\n\r\ndata: x") == b": waiting for a data: x\n\n"


def test_an_error_has_the_form_of_the_endpoints_own() -> None:
    error = WaitedTooLong("too long")
    openai = sse.error(error, Form.OPENAI).decode()
    first, done, _ = openai.split("\n\n")
    assert json.loads(first.removeprefix("data: "))["error"]["code"] == "waited_too_long"
    assert done == "data: [DONE]"
    assert "[DONE]" not in sse.error(error, Form.OPENAI, is_end=False).decode()
    kind, data = sse.error(QueueFull("full"), Form.ANTHROPIC).decode().strip().split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "full"},
    }
    kind, data = sse.error(error, Form.RESPONSES).decode().strip().split("\n")
    assert kind == "event: error"
    told = json.loads(data.removeprefix("data: "))
    assert (told["type"], told["code"], told["message"]) == ("error", "waited_too_long", "too long")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no\\nsuch", "code": 404}}', "no\nsuch"),
        (b'{"detail": "Not Found"}', ""),
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b"<html>", "<html>"),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_what_an_engine_answers_where_events_were_expected_becomes_an_event(body: bytes, message: str) -> None:
    events = sse.foreign_error(body, Form.OPENAI).decode()
    assert events.count("\n\n") == 2, "one line of data, whatever stood in it"
    told = json.loads(sse.foreign_error(body, Form.RESPONSES).decode().partition("data: ")[2])
    assert told["message"] == message
