"""What an engine tells the proxy at the end of a stream, as ASGI."""

import sys
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core import headers
from proxy.core.strip import Strip
from proxy.core.usage import Tokens
from tests.installation import CHECKOUT

sys.path.append(str(CHECKOUT / "bin" / "in_engine"))

from rota_engine_usage import ASKED, telling

STREAM = {"type": "http.response.start", "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]}
WHOLE = {"type": "http.response.start", "headers": [(b"content-type", b"application/json")]}
EVENT = {"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}


def metadata(usage: object) -> dict[str, Any]:
    return {"request_metadata": SimpleNamespace(request_id="1", final_usage_info=usage)}


USAGE = metadata(SimpleNamespace(prompt_tokens=3, completion_tokens=2))


async def sent(state: object, *messages: MutableMapping[str, Any], asked: bool = True) -> list[Any]:
    said: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    scope = {"type": "http", "headers": [ASKED] if asked else [(b"x", b"y")], "state": state}
    if state is None:
        del scope["state"]
    tell = telling(scope, send)
    for message in messages:
        await tell(message)
    return said


async def test_a_stream_says_what_it_took_before_its_end() -> None:
    start, event, told, end = await sent(USAGE, STREAM, EVENT, END)
    assert (start, event) == (STREAM, EVENT)
    assert told == {"type": "http.response.body", "body": b": rota-usage 3 2\n\n", "more_body": True}
    assert not end["body"]
    assert not end.get("more_body")
    strip = Strip(in_chunks=False)
    assert strip.feed(told["body"]) == b""
    assert strip.usage == Tokens(3, 2)


async def test_a_stream_whose_end_has_a_body_says_so_behind_it() -> None:
    last = {"type": "http.response.body", "body": b"data: x\n\n"}
    _, told, end = await sent(USAGE, STREAM, last)
    assert told["body"] == b"data: x\n\n: rota-usage 3 2\n\n"
    assert not end["body"]


@pytest.mark.parametrize(
    ("state", "start", "asked"),
    [
        (USAGE, STREAM, False),
        (USAGE, WHOLE, True),
        (metadata(None), STREAM, True),
        (metadata(SimpleNamespace(total_tokens=3)), STREAM, True),
        ({"request_metadata": None}, STREAM, True),
        ({}, STREAM, True),
        (None, STREAM, True),
    ],
)
async def test_where_nobody_asks_or_nothing_is_known_nothing_is_said(
    state: object, start: MutableMapping[str, Any], asked: bool
) -> None:
    assert await sent(state, start, EVENT, END, asked=asked) == [start, EVENT, END]


def test_the_proxy_asks_as_it_is_understood() -> None:
    name, _, value = headers.TELL_USAGE.strip().partition(": ")
    assert (name.lower().encode(), value.encode()) == ASKED
