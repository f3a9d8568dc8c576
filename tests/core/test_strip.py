import pytest
from hypothesis import given, strategies as st

from proxy.core.chunks import LAST_CHUNK, chunk
from proxy.core.strip import Strip

FIRST = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"\\"choices\\":[] \\"usage\\":{"}}]}\n\n'
USAGE = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}}\n\n'
EMPTY = b'data: {"id":"1","choices":[],"prompt_filter_results":[]}\n\n'
DONE = b"data: [DONE]\n\n"


def stream(in_chunks: bool, *events: bytes) -> bytes:
    return b"".join(map(chunk, events)) + LAST_CHUNK if in_chunks else b"".join(events)


@pytest.mark.parametrize("in_chunks", [True, False])
@given(st.lists(st.integers(1, 400), max_size=12))
def test_the_event_of_the_usage_is_taken_out_however_the_stream_comes(in_chunks: bool, sizes: list[int]) -> None:
    strip, passed, left = Strip(in_chunks=in_chunks), [], stream(in_chunks, FIRST, EMPTY, FIRST, USAGE, DONE)
    for size in [*sizes, len(left)]:
        passed.append(strip.feed(left[:size]))
        left = left[size:]
        end = b"\n\n\r\n" if in_chunks else b"\n\n"
        assert not b"".join(passed) or b"".join(passed).endswith((end, LAST_CHUNK)), "a comment may follow"
    assert b"".join(passed) == stream(in_chunks, FIRST, EMPTY, FIRST, DONE)


def test_a_chunk_that_holds_more_than_that_event_is_left_as_it_is() -> None:
    both = chunk(FIRST + USAGE) + LAST_CHUNK
    assert Strip(in_chunks=True).feed(both) == both
