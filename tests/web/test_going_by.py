"""What is said in a body that nobody has read as a whole."""

import json

import pytest
from hypothesis import given, strategies as st

from proxy.core.audit_hashes import Hasher
from proxy.web import going_by
from proxy.web.going_by import GoingBy

HASHER = Hasher(b"k" * 32)
JSON = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "ü"}]}).encode()
FORM = b'--X\r\nContent-Disposition: form-data; name="x"\r\n\r\na b\r\n--X\r\nX-Y: z\r\n\r\n\xff\x00\r\n--X--\r\n'


def hashes(body: bytes, kind: bytes, *cuts: int) -> tuple[str, str, list[str]]:
    one = GoingBy(HASHER, kind)
    for cut in cuts:
        one.add(memoryview(body)[:cut])
        body = body[cut:]
    one.add(body)
    return one.hashes()


of = HASHER.of_bytes


@given(st.lists(st.integers(1, 40), max_size=6))
def test_it_is_the_same_however_it_comes(cuts: list[int]) -> None:
    assert hashes(JSON, b"application/json", *cuts) == (of(JSON), of("aü".encode()), [of(b"a"), of("ü".encode())])
    assert hashes(FORM, b"multipart/form-data; boundary=X", *cuts) == (of(FORM), "", [of(b"a b"), of(b"\xff\x00")])


@pytest.mark.parametrize("kind", [b"multipart/form-data", b"multipart/form-data; boundary=Y"])
def test_of_a_form_that_is_none_only_the_bytes_are_hashed(kind: bytes) -> None:
    assert hashes(FORM, kind) == (of(FORM), "", [])


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]"])
def test_in_what_is_no_object_nothing_is_said(body: bytes) -> None:
    assert hashes(body, b"") == (of(body), "", [])


def test_of_what_is_too_long_only_the_bytes_are_hashed_and_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_by, "LONGEST_BYTES", len(JSON) - 1)
    one = GoingBy(HASHER, b"application/json")
    one.add(JSON)
    one.add(b" ")
    assert one._kept is None
    assert one.hashes() == (of(JSON + b" "), "", [])


def test_of_a_form_with_very_many_parts_the_first_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_by, "MOST_PARTS", 1)
    assert hashes(FORM, b"multipart/form-data; boundary=X")[2] == [of(b"a b")]
