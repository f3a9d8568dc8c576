import pytest

from proxy.core.chunks import chunk, ends_event, framed


def test_a_chunk_says_its_length_in_hex() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_an_event_goes_out_in_a_chunk_or_as_it_is() -> None:
    assert framed(b"data: 1\n\n", in_chunks=True) == b"9\r\ndata: 1\n\n\r\n"
    assert framed(b"data: 1\n\n", in_chunks=True, is_last=True) == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
    assert framed(b"data: 1\n\n", in_chunks=False, is_last=True) == b"data: 1\n\n"


@pytest.mark.parametrize("event", [b"data: 1\n\n", b"data: 1\r\n\r\n"])
@pytest.mark.parametrize("in_chunks", [True, False])
def test_another_event_may_follow_where_one_has_ended(event: bytes, in_chunks: bool) -> None:
    sent = framed(event, in_chunks=in_chunks)
    assert ends_event(b"", in_chunks=in_chunks)
    assert ends_event(sent, in_chunks=in_chunks)
    for cut in range(1, len(sent)):
        assert not ends_event(sent[:-cut], in_chunks=in_chunks)
