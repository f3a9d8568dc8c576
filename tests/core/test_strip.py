import pytest
from hypothesis import given, strategies as st

from proxy.core.chunks import LAST_CHUNK, chunk, ends_event
from proxy.core.strip import Strip
from proxy.core.usage import Tokens

FIRST = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":": rota-usage 8 9\\n\\n: rota-usage 8 9"}}]}\n\n'
LONG = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 300)
KEPT_ALIVE = b": another comment\n\n"
TOLD = b": rota-usage 3 2\n\n"
DONE = b"data: [DONE]\n\n"


def stream(in_chunks: bool, *events: bytes) -> bytes:
    return b"".join(map(chunk, events)) + LAST_CHUNK if in_chunks else b"".join(events)


@pytest.mark.parametrize("in_chunks", [True, False])
@given(st.lists(st.integers(1, 400), max_size=12), st.permutations([FIRST, LONG, KEPT_ALIVE, LONG]))
def test_what_is_said_to_the_proxy_is_taken_out_however_the_stream_comes(
    in_chunks: bool, sizes: list[int], events: list[bytes]
) -> None:
    strip, passed, left = Strip(in_chunks=in_chunks), [], stream(in_chunks, *events, DONE, TOLD)
    assert strip.usage is None
    for size in [*sizes, len(left)]:
        passed.append(strip.feed(left[:size]))
        left = left[size:]
    assert b"".join(passed) == stream(in_chunks, *events, DONE)
    assert strip.usage == Tokens(3, 2)


@pytest.mark.parametrize("in_chunks", [True, False])
@given(st.lists(st.integers(1, 400), max_size=12))
def test_a_stream_without_it_is_as_it_came(in_chunks: bool, sizes: list[int]) -> None:
    whole = stream(in_chunks, FIRST, LONG, KEPT_ALIVE, DONE)
    strip, passed, left = Strip(in_chunks=in_chunks), [], whole
    for size in [*sizes, len(left)]:
        passed.append(strip.feed(left[:size]))
        left = left[size:]
    assert b"".join(passed) == whole
    assert strip.usage is None


def test_no_more_is_held_than_that_comment_may_be_long_and_what_goes_on_ends_where_an_event_does() -> None:
    strip = Strip(in_chunks=True)
    whole = chunk(LONG)
    assert strip.feed(whole[:-1]) == whole[:-1]
    assert strip.feed(whole[-1:]) == b""
    passed = strip.feed(chunk(DONE) + b"14\r\n: rota")
    assert passed == whole[-1:] + chunk(DONE)
    assert ends_event(passed, in_chunks=True)
    assert strip.feed(b"-usage 3 2\n\n\r\n") == b""
