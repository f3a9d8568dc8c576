import httptools
import pytest
from hypothesis import given, strategies as st

from proxy.upstream.unchunked import Unchunked


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.integers(1, 9))
def test_the_chunks_are_taken_off_however_they_come(parts: list[bytes], step: int) -> None:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    unchunked = Unchunked()
    got = b"".join(unchunked.feed(whole[at : at + step]) for at in range(0, len(whole), step))
    assert got == b"".join(parts)


def test_bad_chunks_are_an_error() -> None:
    with pytest.raises(httptools.HttpParserError):
        Unchunked().feed(b"zz\r\n")
