import hmac
import json

import pytest

from proxy.core.audit_records import Act, Hasher, moment
from proxy.core.chain import FIRST, Chain


def test_a_record_is_a_line_with_its_kind_and_without_what_is_not_known() -> None:
    line = json.loads(Chain().add(Act(at="now", who="ann", what="stopped")))
    assert line == {"n": 1, "prev": FIRST, "kind": "act", "at": "now", "who": "ann", "what": "stopped"}


def test_a_text_has_one_hash_under_one_key_and_another_under_another() -> None:
    one, other = Hasher(b"a" * 32), Hasher(b"b" * 32)
    assert one.of("x") == one.of("x") != other.of("x")
    assert len(one.of("x")) == 64
    assert one.of("\ud800"), "half a character that a client has escaped"


@pytest.mark.parametrize("text", ["", "x", "ü" * 1000])
def test_the_hash_is_the_hmac_of_the_standard_library(text: str) -> None:
    key = hmac.digest(b"a" * 32, b"texts", "sha256")
    assert Hasher(b"a" * 32).of(text) == hmac.new(key, text.encode(), "sha256").hexdigest()


def test_several_texts_have_a_hash_together_and_one_each() -> None:
    hasher = Hasher(b"a" * 32)
    assert hasher.of_all([]) == ("", [])
    assert hasher.of_all(["ab"]) == (hasher.of("ab"), [])
    assert hasher.of_all(["a", "b"]) == (hasher.of("ab"), [hasher.of("a"), hasher.of("b")])


def test_moments_are_utc_and_sort_as_text() -> None:
    assert moment(0.25) == "1970-01-01T00:00:00.250000Z"
    assert moment(5.0) < moment(10.0)
